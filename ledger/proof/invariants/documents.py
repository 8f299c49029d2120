"""Documents: found by their ids, with what they say of persons, and approved."""

from __future__ import annotations

from ledger.journal.references import EXTERNAL, may_say
from ledger.proof.invariants.question import Question

KEPT = (
    Question(
        "what documents say of persons is what was posted, or was erased",
        "documents with personal fields",
        "select count(*) from document where position('\"personal\":\"' in body) > 0 and type in ('customer', 'customer_change', 'details')",
        """select format('%s %s', coalesce(d.type, p.type), coalesce(d.ref, p.ref))
           from (select * from document where position('"personal":"' in body) > 0 and type in ('customer', 'customer_change', 'details')) d
           full join personal_fields p using (customer_id, document_id)
           where d.document_id is null or p.document_id is null or (p.type, p.ref) <> (d.type, d.ref)
              or d.body::jsonb ->> 'personal' <> encode(p.commitment, 'hex')
              or p.commitment <> sha256(p.salt || convert_to(p.fields, 'UTF8'))""",
    ),
    Question(
        "every document is found by its id, and no id stands for two",
        "documents",
        "select count(*) from document",
        """select format('%s %s', coalesce(d.type, k.type), coalesce(d.ref, k.ref)) from document d
           full join document_key k using (customer_id, document_id)
           where (d.type, d.ref) is distinct from (k.type, k.ref)""",
    ),
    Question(
        "every document is found by its external ids, and none stands for two of a type and status",
        "external ids",
        "select count(*) from external_key",
        f"""select format('%s %s: %s %s', type, coalesce(s.ref, 'of number ' || document_id), system, external_id)
           from (select d.customer_id, d.document_id, d.type, d.ref, coalesce(d.body::jsonb ->> 'status', '') as status,
                        e.key as system, e.value as external_id
                 from document d cross join jsonb_each_text({EXTERNAL}) e
                 where {may_say("external")}) s
           full join (select *, true as kept from external_key) k
               using (customer_id, document_id, type, status, system, external_id)
           where s.ref is null or k.kept is null""",
    ),
    Question(
        "every document is found by its reference",
        "references",
        "select count(*) from document_reference",
        f"""select format('%s: reference %s', coalesce(s.type || ' ' || s.ref, 'document ' || document_id), reference)
           from (select d.customer_id, d.document_id, d.type, d.ref, d.body::jsonb ->> 'reference' as reference from document d
                 where {may_say("reference")} and d.body::jsonb ->> 'reference' is not null) s
           full join (select *, true as kept from document_reference) k using (customer_id, document_id, reference)
           where s.ref is null or k.kept is null""",
    ),
)

APPROVED = (
    Question(
        "write-offs and manual entries name who approved them, or have a rule that stood for one; and rules stand for what they are for",
        "documents",
        "select count(*) from document_key where type in ('write_off', 'manual_entry')",
        """select format('%s %s: nobody approved it', d.type, d.ref)
           from document_key k join document d using (customer_id, document_id)
           left join approval_by_rule a using (customer_id, document_id)
           where k.type in ('write_off', 'manual_entry') and a.rule is null and d.body::json ->> 'approved_by' is null
           union all
           select format('%s %s: approval_rule %s is not for it', d.type, d.ref, a.rule)
           from approval_by_rule a
           left join document d using (customer_id, document_id)
           left join document_key k on k.type = 'approval_rule' and k.ref = a.rule
           left join document r on r.customer_id = k.customer_id and r.document_id = k.document_id
           where r.ref is null or d.ref is null or d.body::json ->> 'approved_by' is not null
              or not (r.body::jsonb -> 'kinds') ? d.type
              or d.dated_on not between r.dated_on and (r.body::json ->> 'until')::date""",
    ),
)
