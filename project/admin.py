"""What the admin calls itself."""

from django.contrib import admin

admin.site.site_header = "Tidy"
admin.site.site_title = "Tidy"
admin.site.index_title = "People and todos"
