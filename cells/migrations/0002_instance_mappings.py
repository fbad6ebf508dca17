import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import cells.fields


class Migration(migrations.Migration):
    dependencies = [
        ("cells", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="InstanceMapping",
            fields=[
                (
                    "created_at",
                    cells.fields.UTCDateTimeField(default=django.utils.timezone.now, null=True),
                ),
                ("updated_at", cells.fields.UTCDateTimeField(null=True)),
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("instance_uuid", models.CharField(max_length=36)),
                ("project_id", models.CharField(max_length=255)),
                ("user_id", models.CharField(max_length=255, null=True)),
                ("queued_for_delete", models.BooleanField(default=False, null=True)),
                (
                    "cell",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="instance_mappings",
                        to="cells.cellmapping",
                    ),
                ),
            ],
            options={
                "db_table": "instance_mappings",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("instance_uuid",), name="uniq_instance_mappings0instance_uuid"
                    )
                ],
            },
        ),
    ]
