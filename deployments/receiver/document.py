"""The OpenAPI document: what FastAPI cannot know, because it is read from the raw request."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from deployments.receiver.forges.read import EVENTS, PAYLOADS
from deployments.receiver.problem import Problem

_REF = "#/components/schemas/{model}"
_MODELS, _DEFINED = models_json_schema([(model, "validation") for model in PAYLOADS], ref_template=_REF)
_HMAC = "HMAC-SHA256 of the body with the webhook's secret, in hex digits"
_PROOFS = {
    "X-Hub-Signature-256": f"GitHub, Gitea, Forgejo: `sha256=` and the {_HMAC}.",
    "X-Hub-Signature": f"Bitbucket: `sha256=` and the {_HMAC}.",
    "X-Gitea-Signature": f"Gitea: the {_HMAC}.",
    "X-Forgejo-Signature": f"Forgejo: the {_HMAC}.",
    "X-Gitlab-Token": "GitLab: the webhook's secret.",
    "webhook-signature": "GitLab, with webhook-id and webhook-timestamp: https://www.standardwebhooks.com.",
}

WEBHOOK: dict[str, Any] = {
    "security": [{name: []} for name in _PROOFS],
    "parameters": [
        {
            "name": header,
            "in": "header",
            "description": "The event; one of these headers is needed.",
            "schema": {"anyOf": [{"enum": list(events)}, {"type": "string"}]},
        }
        for header, events in EVENTS.items()
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "anyOf": [*_MODELS.values(), {"description": "Of other events; nothing is read of it."}]
                }
            }
        },
    },
}
"""Of the operation that receives webhooks."""


def complete(app: FastAPI) -> None:
    """Adds to the application's document what its operations refer to."""
    components = app.openapi()["components"]
    components["schemas"] |= {"Problem": Problem.model_json_schema(), **_DEFINED["$defs"]}
    components["securitySchemes"] = {
        name: {"type": "apiKey", "in": "header", "name": name, "description": told}
        for name, told in _PROOFS.items()
    }
