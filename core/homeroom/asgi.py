"""`homeroom.asgi:app`, for any ASGI server: configured from the environment, as `homeroom serve` is."""

from homeroom.app import create_app

app = create_app()
