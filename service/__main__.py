"""`python -m service`: the API and its workers, as settings say. Processes that it spawns do not load it again."""

from service.server import run_server
from service.settings import Settings

run_server(Settings())
