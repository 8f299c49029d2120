"""Keys over the API, and what is personal, erased."""

from __future__ import annotations

from typing import Any

from flask.views import MethodView
from marshmallow import RAISE, Schema, fields, validate

from ledger.documents import personal
from web.access import keys
from web.access.guard import engine, needs, require_all_entities, who
from web.api.idempotency import once
from web.api.lists import NOT_FOUND, REFUSED, blueprint


class EraseSchema(Schema):
    """Whose personal fields are erased, and why."""

    customer = fields.String(required=True)
    reason = fields.String(required=True)


class ErasedSchema(Schema):
    """A document whose personal fields were erased."""

    customer = fields.String()
    type = fields.String()
    ref = fields.String()
    erased_at = fields.DateTime()
    erased_by = fields.String()
    reason = fields.String()


@blueprint.route("/erasures")
class Erasures(MethodView):
    """Personal fields that were erased."""

    @blueprint.response(200, ErasedSchema(many=True))
    def get(self) -> list[dict[str, Any]]:
        """What was erased, when, by whom and why: the latest first."""
        require_all_entities("the list of erasures")
        with engine().connect() as connection:
            return personal.erasures(connection)

    @needs("admin")
    @once
    @blueprint.arguments(EraseSchema, unknown=RAISE, example={"customer": "globex", "reason": "asked for"})
    @blueprint.response(200, Schema.from_dict({"documents": fields.Integer()}, name="Erasure"))
    @blueprint.alt_response(404, response=NOT_FOUND)
    @blueprint.alt_response(422, response=REFUSED)
    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Erase for good what documents say of a customer's persons. History and its seals stay as they are."""
        require_all_entities("an erasure")
        with engine().begin() as connection:
            return {"documents": personal.erase(connection, body["customer"], body["reason"], who().name)}


class NewKeySchema(Schema):
    """A key to be made."""

    name = fields.String(required=True, validate=validate.Length(min=1, max=100), metadata={"example": "meter-feed"})
    role = fields.String(required=True, validate=validate.OneOf(keys.ROLES))
    entities = fields.List(
        fields.String(), load_default=list, metadata={"description": "The entities it is for; all where there are none"}
    )
    expires_on = fields.Date(load_default=None, metadata={"description": "Its last day; a year from now by default"})


class MadeKeySchema(Schema):
    """A key that was made: it is not shown again."""

    key = fields.String()


class KeySchema(Schema):
    """A key, without what it is made of."""

    key = fields.String()
    name = fields.String()
    role = fields.String()
    entities = fields.String()
    state = fields.String()
    expires_on = fields.String()
    created_at = fields.String()
    created_by = fields.String()


@blueprint.route("/keys")
class Keys(MethodView):
    """Keys of persons and systems."""

    @needs("admin")
    @blueprint.response(200, KeySchema(many=True))
    def get(self) -> list[dict[str, Any]]:
        """All keys there are and were."""
        require_all_entities("the list of keys")
        with engine().connect() as connection:
            return keys.keys(connection).json_rows()

    @needs("admin")
    @blueprint.arguments(NewKeySchema, unknown=RAISE, example={"name": "meter-feed", "role": "operator"})
    @blueprint.response(201, MadeKeySchema)
    @blueprint.alt_response(404, response=NOT_FOUND)
    @blueprint.alt_response(422, response=REFUSED)
    def post(self, body: dict[str, Any]) -> dict[str, str]:
        """Make a key. It is answered once, and kept nowhere."""
        require_all_entities("a key")
        with engine().begin() as connection:
            made = keys.create(connection, body["name"], body["role"], who().name, body["entities"], body["expires_on"])
        return {"key": made}


@blueprint.route("/keys/<int:key_id>")
class Key(MethodView):
    """One key."""

    @needs("admin")
    @blueprint.response(204)
    @blueprint.alt_response(404, response=NOT_FOUND)
    @blueprint.alt_response(422, response=REFUSED)
    def delete(self, key_id: int) -> None:
        """Let a key hold no more, from now on."""
        require_all_entities("a key")
        with engine().begin() as connection:
            keys.revoke(connection, key_id, who().name)
