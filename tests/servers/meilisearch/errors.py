"""Meilisearch's error bodies: `{"message", "code", "type", "link"}`, each code with its type and HTTP status."""

from __future__ import annotations

from typing import Any, Final

_CODES: Final = {
    "api_key_not_found": ("invalid_request", 404),
    "bad_request": ("invalid_request", 400),
    "document_not_found": ("invalid_request", 404),
    "index_already_exists": ("invalid_request", 409),
    "index_not_found": ("invalid_request", 404),
    "index_primary_key_already_exists": ("invalid_request", 400),
    "index_primary_key_no_candidate_found": ("invalid_request", 400),
    "internal": ("internal", 500),
    "invalid_api_key": ("auth", 403),
    "invalid_api_key_actions": ("invalid_request", 400),
    "invalid_api_key_expires_at": ("invalid_request", 400),
    "invalid_api_key_indexes": ("invalid_request", 400),
    "invalid_content_type": ("invalid_request", 415),
    "invalid_document_id": ("invalid_request", 400),
    "invalid_index_primary_key": ("invalid_request", 400),
    "invalid_index_uid": ("invalid_request", 400),
    "invalid_task_after_started_at": ("invalid_request", 400),
    "invalid_task_limit": ("invalid_request", 400),
    "invalid_task_statuses": ("invalid_request", 400),
    "invalid_task_types": ("invalid_request", 400),
    "invalid_task_uids": ("invalid_request", 400),
    "malformed_payload": ("invalid_request", 400),
    "missing_api_key_actions": ("invalid_request", 400),
    "missing_api_key_expires_at": ("invalid_request", 400),
    "missing_api_key_indexes": ("invalid_request", 400),
    "missing_authorization_header": ("auth", 401),
    "missing_content_type": ("invalid_request", 415),
    "missing_document_id": ("invalid_request", 400),
    "missing_index_uid": ("invalid_request", 400),
    "missing_master_key": ("auth", 401),
    "missing_payload": ("invalid_request", 400),
    "missing_task_filters": ("invalid_request", 400),
    "no_space_left_on_device": ("system", 422),
    "not_found": ("invalid_request", 404),
    "task_not_found": ("invalid_request", 404),
}


class ApiError(Exception):
    """An answer that is not a success, or the reason why a task failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.type, self.status = _CODES[code]
        self.code = code
        self.message = message

    @property
    def body(self) -> dict[str, Any]:
        return {
            "message": self.message,
            "code": self.code,
            "type": self.type,
            "link": f"https://docs.meilisearch.com/errors#{self.code}",
        }
