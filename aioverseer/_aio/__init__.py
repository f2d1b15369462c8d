"""Small tools that asyncio lacks. They know nothing about programs."""
