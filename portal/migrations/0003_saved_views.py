import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("portal", "0002_saved_filter_sets"),
    ]

    operations = [
        migrations.RenameModel(old_name="SavedFilterSet", new_name="SavedView"),
        migrations.AlterModelOptions(
            name="savedview",
            options={"default_permissions": (), "ordering": ("name",)},
        ),
        migrations.AlterField(
            model_name="savedview",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="saved_views",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="savedview",
            constraint=models.UniqueConstraint(
                fields=("user", "page", "name"), name="unique_name_of_saved_view"
            ),
        ),
        # Last: in MySQL the foreign key needs one of the two.
        migrations.RemoveConstraint(model_name="savedview", name="one_set_of_a_name"),
    ]
