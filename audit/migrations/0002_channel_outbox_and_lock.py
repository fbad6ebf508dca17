from typing import Any

import django.utils.timezone
from django.db import migrations, models

#: The only kind of action, and the only transport, that there was.
SERVICE, OSLO_MESSAGING = "service", "oslo.messaging"


def keep_what_is_waiting(apps: Any, schema_editor: Any) -> None:
    """Carry over intents and notifications that are waiting while the portal is upgraded."""
    alias = schema_editor.connection.alias
    for intent in apps.get_model("audit", "Intent").objects.using(alias).all():
        intent.kind = SERVICE
        if intent.notification is not None:
            intent.messages = [{"transport": OSLO_MESSAGING, "payload": intent.notification}]
        intent.save()
    notifications = apps.get_model("audit", "Notification").objects.using(alias).order_by("id")
    apps.get_model("audit", "OutboxMessage").objects.using(alias).bulk_create(
        apps.get_model("audit", "OutboxMessage")(
            transport=OSLO_MESSAGING,
            sequence=notification.id,
            subject=notification.service,
            payload=notification.message,
            sent_to=notification.sent_to,
            created_at=notification.created_at,
            attempts=notification.attempts,
            last_error=notification.last_error,
        )
        for notification in notifications
    )


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.RenameField("entry", "face", "channel"),
        migrations.RenameModel("Lease", "Lock"),
        migrations.RenameField("intent", "service", "subject"),
        migrations.AlterField(
            "intent",
            "subject",
            models.CharField(help_text="What it acts on, in one text.", max_length=64),
        ),
        migrations.AlterField(
            "intent", "entry", models.JSONField(help_text="The entry's columns.")
        ),
        migrations.AddField(
            "intent",
            "kind",
            models.CharField(
                default=SERVICE,
                help_text="Which settler can tell what became of it.",
                max_length=32,
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            "intent",
            "messages",
            models.JSONField(
                default=list,
                help_text="What to send when it is done: transport and payload of each.",
            ),
        ),
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                (
                    "id",
                    models.AutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("transport", models.CharField(max_length=32)),
                ("sequence", models.BigIntegerField(help_text="The id of the action's intent.")),
                (
                    "subject",
                    models.CharField(help_text="What the action acted on.", max_length=64),
                ),
                ("payload", models.JSONField(help_text="As the transport wants it.")),
                (
                    "sent_to",
                    models.JSONField(
                        default=list,
                        help_text="Destinations of the transport that have had it already.",
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("attempts", models.IntegerField(default=0)),
                ("last_error", models.TextField(blank=True)),
            ],
            options={
                "ordering": ("sequence", "id"),
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("transport", "sequence"),
                        name="one_message_per_transport_and_action",
                    )
                ],
            },
        ),
        migrations.RunPython(keep_what_is_waiting, migrations.RunPython.noop),
        migrations.RemoveField("intent", "notification"),
        migrations.DeleteModel("Notification"),
    ]
