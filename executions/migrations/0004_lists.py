"""Indexes with which every list is read in order, whatever it is narrowed by.

They take some seconds for a million executions, and hold up writers meanwhile."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("executions", "0003_control_and_fleet"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL("SET LOCAL statement_timeout = 0", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                fields=["orchestration", "status", "-id"],
                name="execution_of_orchestration",
            ),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                fields=["created_by", "status", "-id"], name="execution_of_owner"
            ),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                fields=["created_by", "orchestration", "status", "-id"],
                name="execution_of_both",
            ),
        ),
        migrations.RemoveIndex(
            model_name="execution", name="execution_by_orchestration"
        ),
        migrations.AlterField(
            model_name="execution",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
