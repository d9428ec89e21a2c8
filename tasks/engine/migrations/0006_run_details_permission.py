from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("tasks", "0005_help_texts"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="taskrun",
            options={
                "permissions": [
                    ("start_taskrun", "Can start runs"),
                    ("cancel_taskrun", "Can cancel runs"),
                    ("stop_taskrun", "Can stop runs at work"),
                    ("acknowledge_taskrun", "Can acknowledge failures"),
                    ("undo_taskrun", "Can undo runs"),
                    ("view_taskrun_details", "Can view errors, arguments and results of runs"),
                    ("retry_deadletter", "Can retry dead letters"),
                    ("discard_deadletter", "Can discard dead letters"),
                ]
            },
        ),
    ]
