"""The operators' console: pages, actions and charts, under the admin's logins and permissions."""
