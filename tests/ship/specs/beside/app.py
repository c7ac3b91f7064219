"""An app as small as one can be: here, files are only written for it."""

from fastapi import FastAPI

app = FastAPI()
