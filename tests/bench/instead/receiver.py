"""A webhook receiver as it is quickly written: FastAPI, and Prefect's client for each push.

It reads PUSH_SECRET and PUSH_DEPLOYMENT: uvicorn tests.bench.instead.receiver:app
"""

import hashlib
import hmac
import json
import os
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Header, HTTPException, Request
from prefect.client.orchestration import get_client

app = FastAPI()


@app.get("/health")
async def health() -> str:
    return "ok"


@app.post("/webhooks/notebooks", status_code=202)
async def push(request: Request, x_hub_signature_256: Annotated[str, Header()]) -> dict[str, Any]:
    body = await request.body()
    signed = hmac.new(os.environ["PUSH_SECRET"].encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(f"sha256={signed}", x_hub_signature_256):
        raise HTTPException(403)
    commit = json.loads(body)["after"]
    async with get_client() as client:
        run = await client.create_flow_run_from_deployment(
            UUID(os.environ["PUSH_DEPLOYMENT"]), parameters={"commit": commit}, idempotency_key=commit
        )
    return {"runs": [{"flow_run_id": str(run.id), "commit": commit}]}
