"""The uuid of a service.

Rows there are keep a null until ``manage.py backfill_service_uuids`` fills it in; the default is
for rows that are created from now on, and changes nothing in the database.
"""

from django.db import migrations, models

from services.models import new_uuid


class Migration(migrations.Migration):
    dependencies = [("services", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="service",
            name="uuid",
            field=models.CharField(max_length=36, null=True),
        ),
        migrations.AlterField(
            model_name="service",
            name="uuid",
            field=models.CharField(default=new_uuid, max_length=36, null=True),
        ),
        migrations.AddConstraint(
            model_name="service",
            constraint=models.UniqueConstraint(fields=["uuid"], name="services_uuid_idx"),
        ),
    ]
