"""An HTTP server for a language model: OpenAI's and Anthropic's protocols, health, metrics, a chat page."""

from weft.server.app import create_app
from weft.server.running import serve
from weft.server.settings import Settings

__all__ = ["Settings", "create_app", "serve"]
