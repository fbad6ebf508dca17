"""The uuid of a service; ``manage.py backfill_service_uuids`` fills it in for rows there are."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("services", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="service",
            name="uuid",
            field=models.CharField(max_length=36, null=True),
        ),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.UniqueConstraint(fields=["uuid"], name="services_uuid_idx"),
        ),
    ]
