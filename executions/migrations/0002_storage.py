"""Room on the pages of the tables whose rows change, so that a finished step is
rewritten in place and touches no index, and rarer but earlier vacuuming."""

from django.db import migrations

FORWARD = """
ALTER TABLE executions_steprun SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE executions_execution SET (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE executions_worker SET (fillfactor = 50);
"""
BACKWARD = """
ALTER TABLE executions_steprun RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE executions_execution RESET (fillfactor, autovacuum_vacuum_scale_factor);
ALTER TABLE executions_worker RESET (fillfactor);
"""


class Migration(migrations.Migration):
    dependencies = [("executions", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
