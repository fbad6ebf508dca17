from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [
        migrations.RenameField("entry", "face", "channel"),
        migrations.RenameModel("Notification", "OutboxMessage"),
        migrations.RenameModel("Lease", "Lock"),
    ]
