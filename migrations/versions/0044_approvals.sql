-- Approved rules that stand for a second person, and what was undone when a month was closed all the same.

create table approval_by_rule (
    customer_id bigint not null,
    document_id bigint not null,
    rule text not null,
    primary key (customer_id, document_id)
);
comment on table approval_by_rule is
    'Documents that no person approved, with the approval_rule that stood for one when they were posted.';
create index approval_by_rule_rule on approval_by_rule (rule);
create trigger never_changed before update or delete on approval_by_rule for each row execute function refuse_change();
create trigger never_emptied before truncate on approval_by_rule for each statement execute function refuse_change();

alter table period_event add column undone text[] not null default '{}';
comment on column period_event.undone is
    'What of the checklist was not done when the month was closed all the same; `reason` says why.';
