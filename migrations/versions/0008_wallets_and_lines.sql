-- Wallets: pilots, commitments, bonus credits, and credits that are carried on or returned.

alter table credit_grant drop constraint credit_grant_kind_check;
alter table credit_grant add constraint credit_grant_kind_check
    check (kind in ('prepaid', 'promotional', 'pilot', 'commitment'));
alter table credit_grant add column contract text;
comment on column credit_grant.contract is 'The order it came with: bonus credits share the price of its paid ones.';
alter table credit_grant add column carried_from text;
comment on column credit_grant.carried_from is 'The grant whose credits it carries on; they are part of its face value.';
alter table credit_grant add column free boolean not null generated always as
    (kind = 'promotional' or (kind = 'pilot' and price_minor = 0)) stored;
comment on column credit_grant.free is 'Credits nobody pays for: no liability, a discount when used.';
alter table credit_grant add column in_memorandum boolean not null generated always as
    (kind = 'promotional' or price_minor <> face_minor or expected_breakage > 0 or contract is not null) stored;
comment on column credit_grant.in_memorandum is
    'Its credits stand in memorandum accounts, the money not showing how many are left.';

alter table grant_balance add column moved_face_minor bigint not null default 0 check (moved_face_minor >= 0);
alter table grant_balance add column moved_minor bigint not null default 0 check (moved_minor >= 0);
alter table grant_balance drop constraint grant_not_overdrawn;
alter table grant_balance add constraint grant_not_overdrawn
    check (drawn_face_minor + expired_face_minor + moved_face_minor <= face_minor);

create table grant_move (
    customer_id bigint not null,
    document_id bigint not null,
    grant_id bigint not null,
    kind text not null check (kind in ('carried', 'returned')),
    effective_on date not null,
    face_minor bigint not null check (face_minor > 0),
    primary key (customer_id, document_id, grant_id)
);
comment on table grant_move is 'Credits that left a grant otherwise than by use or expiry.';
create trigger never_changed before update or delete on grant_move for each row execute function refuse_change();
create trigger never_emptied before truncate on grant_move for each statement execute function refuse_change();

create table draw_order (
    customer_id bigint not null,
    contract text not null,
    kinds text[] not null,
    primary key (customer_id, contract)
);
comment on table draw_order is 'A contract''s own order of its grants, by kind.';
create trigger never_changed before update or delete on draw_order for each row execute function refuse_change();
create trigger never_emptied before truncate on draw_order for each statement execute function refuse_change();

alter table invoice_line drop constraint invoice_line_kind_check;
alter table invoice_line add constraint invoice_line_kind_check
    check (kind in ('service', 'one_time', 'prepaid', 'usage', 'shortfall', 'opening'));
alter table line_change drop constraint line_change_kind_check;
alter table line_change add constraint line_change_kind_check
    check (kind in ('void', 'credit', 'refund', 'dispute', 'write_off', 'return', 'proration'));

-- Lines that credit: proration of what another invoice billed.
alter table invoice_line drop constraint invoice_line_amount_minor_check;
alter table invoice_line add constraint invoice_line_amount_minor_check check (amount_minor <> 0);
alter table line_change drop constraint line_change_amount_minor_check;
alter table line_change add constraint line_change_amount_minor_check check (amount_minor <> 0);
