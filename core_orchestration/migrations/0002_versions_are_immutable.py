"""Published versions never change: executions are pinned to them."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION core_orchestration_version_is_immutable() RETURNS trigger AS $$
BEGIN
  IF NEW.definition IS DISTINCT FROM OLD.definition
     OR NEW.number IS DISTINCT FROM OLD.number
     OR NEW.orchestration_id IS DISTINCT FROM OLD.orchestration_id THEN
    RAISE EXCEPTION 'A published version never changes; publish a new one.';
  END IF;
  RETURN NEW;
END
$$ LANGUAGE plpgsql;
CREATE TRIGGER version_is_immutable
  BEFORE UPDATE ON core_orchestration_orchestrationversion
  FOR EACH ROW EXECUTE FUNCTION core_orchestration_version_is_immutable();
"""
BACKWARD = """
DROP TRIGGER version_is_immutable ON core_orchestration_orchestrationversion;
DROP FUNCTION core_orchestration_version_is_immutable();
"""


class Migration(migrations.Migration):
    dependencies = [("core_orchestration", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
