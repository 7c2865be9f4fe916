"""The AI config handler: what the API answers about the platform's settings and an organisation's prompts."""

import json
import os
import re

import psycopg
from psycopg.rows import dict_row

ROUTES = (
    (
        re.compile(r"/platform/ai-config/embedding"),
        "SELECT default_embedding_model, default_ai_provider, vector_index_type FROM sys_rag",
    ),
    (
        re.compile(r"/orgs/(?P<org_id>[0-9a-f-]{36})/ai-config/prompts"),
        "SELECT org_id, citation_style, response_tone, org_system_prompt FROM org_prompt_engineering"
        " WHERE org_id = %(org_id)s",
    ),
)


def lambda_handler(event, context):
    """Answer one request as API Gateway hands it over."""
    if event["headers"].get("authorization") != "Bearer " + os.environ["AICFG_API_TOKEN"]:
        return answer(401, {"message": "Unauthorized"})
    for pattern, query in ROUTES:
        found = pattern.fullmatch(event["path"])
        if found:
            with psycopg.connect(os.environ["DATABASE_URL"], row_factory=dict_row) as connection:
                row = connection.execute(query, found.groupdict()).fetchone()
            return answer(200, row) if row else answer(404, {"message": "Not Found"})
    return answer(404, {"message": "Not Found"})


def answer(status, body):
    """Return an answer as API Gateway takes it."""
    return {"statusCode": status, "body": json.dumps(body, default=str)}
