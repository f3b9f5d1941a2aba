"""The admin address: routes, access rules and the page, over `view.control`. The only room with
flask and waitress in it; it knows nothing of the supervisor's inside."""
