"""The admin's titles and its index page."""

from django.contrib import admin

admin.site.site_header = "Tidy"
admin.site.site_title = "Tidy"
admin.site.index_title = "People and todos"
admin.site.index_template = "project/admin_index.html"
