"""Step runs are made from their execution's row, which their claim holds."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("executions", "0004_lists"),
    ]

    operations = [
        migrations.AlterField(
            model_name="steprun",
            name="execution",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="step_runs",
                to="executions.execution",
            ),
        ),
    ]
