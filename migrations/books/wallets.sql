-- Wallets: credits that are prepaid, free, on trial or committed to; what is left of them, and who is told when little is.

-- What a wallet is made of: credits of one kind, for some products or all, until they expire.
create table credit_grant (
    customer_id bigint not null,
    grant_id bigint not null,
    ref text not null,
    entity text not null references entity,
    currency text not null,
    kind text not null check (kind in ('prepaid', 'promotional', 'pilot', 'commitment')),
    face_minor bigint not null check (face_minor > 0),
    price_minor bigint not null check (price_minor >= 0),
    effective_on date not null,
    expires_on date check (expires_on >= effective_on),
    products text[],
    priority integer,
    expected_breakage numeric not null default 0 check (expected_breakage >= 0 and expected_breakage < 1),
    contract text,
    carried_from text,
    in_memorandum boolean not null generated always as
        (kind = 'promotional' or price_minor <> face_minor or expected_breakage > 0 or contract is not null) stored,
    free boolean not null generated always as (kind in ('promotional', 'pilot') and price_minor = 0) stored,
    expected_use numeric not null default 1 check (expected_use > 0 and expected_use <= 1),
    primary key (customer_id, grant_id)
);
comment on column credit_grant.face_minor is 'What it pays for, in the currency''s minor unit.';
comment on column credit_grant.price_minor is 'What the customer pays for it; more or less than its face value.';
comment on column credit_grant.expected_breakage is
    'The share of it never expected to be used, earned in proportion to use; 0: whatever is left, on expiry.';
comment on column credit_grant.contract is 'The order it came with: bonus credits share the price of its paid ones.';
comment on column credit_grant.carried_from is 'The grant whose credits it carries on; they are part of its face value.';
comment on column credit_grant.in_memorandum is
    'Its credits stand in memorandum accounts, the money not showing how many are left.';
-- Free credits that share the price of a contract are not: a material right, and a liability (606-10-55-42).
comment on column credit_grant.free is 'Credits that no price is for: no liability, a discount when used.';
comment on column credit_grant.expected_use is 'How likely free credits of a contract are to be used: what they share of its price counts so much.';
-- What ended lately is looked at first.
create index credit_grant_ended on credit_grant (expires_on);

create table grant_balance (
    customer_id bigint not null,
    grant_id bigint not null,
    face_minor bigint not null,
    drawn_face_minor bigint not null default 0 check (drawn_face_minor >= 0),
    expired_face_minor bigint not null default 0 check (expired_face_minor >= 0),
    drawn_minor bigint not null default 0 check (drawn_minor >= 0),
    broken_minor bigint not null default 0 check (broken_minor >= 0),
    moved_face_minor bigint not null default 0 check (moved_face_minor >= 0),
    moved_minor bigint not null default 0 check (moved_minor >= 0),
    returned_on date,
    primary key (customer_id, grant_id),
    constraint grant_not_overdrawn check (drawn_face_minor + expired_face_minor + moved_face_minor <= face_minor)
);
comment on table grant_balance is
    'The only balances kept beside the postings: where an overdraft must be refused under concurrency. '
    '`tickmark verify` recomputes them.';
comment on column grant_balance.returned_on is 'The last day on which usage that fell gave credits back to it.';

create table grant_move (
    customer_id bigint not null,
    document_id bigint not null,
    grant_id bigint not null,
    kind text not null check (kind in
        ('carried', 'returned', 'void', 'credit', 'refund', 'dispute', 'write_off', 'billed_again', 'recovered')),
    effective_on date not null,
    face_minor bigint not null,
    line text not null default '',
    amount_minor bigint not null default 0,
    primary key (customer_id, document_id, grant_id, kind, line)
);
comment on table grant_move is
    'Credits that left a grant otherwise than by use or expiry, and came back to it: with the bill that was taken back.';
comment on column grant_move.amount_minor is 'What of its price went with them; of used credits, their price alone.';

create table breakage_estimate (
    customer_id bigint not null,
    document_id bigint not null,
    ref text not null,
    grant_id bigint not null,
    effective_on date not null,
    expected_breakage numeric not null check (expected_breakage >= 0 and expected_breakage < 1),
    reason text not null,
    primary key (customer_id, document_id)
);
comment on table breakage_estimate is 'The share of a grant that is never expected to be used, as it was estimated anew.';

create table draw_order (
    customer_id bigint not null,
    contract text not null,
    kinds text[] not null,
    primary key (customer_id, contract)
);
comment on table draw_order is 'A contract''s own order of its grants, by kind.';

-- Alerts -------------------------------------------------------------------------------------------------------

-- Below how much of a wallet somebody is told.
create table wallet_alert (
    customer_id bigint not null,
    document_id bigint not null,
    ref text not null,
    entity text not null references entity,
    currency text not null,
    threshold_minor bigint not null check (threshold_minor >= 0),
    primary key (customer_id, document_id)
);

create table wallet_alert_event (
    customer_id bigint not null,
    document_id bigint not null,
    event_id bigint generated always as identity,
    crossed text not null check (crossed in ('below', 'above')),
    left_minor bigint not null,
    at timestamptz not null,
    primary key (customer_id, document_id, event_id)
);
comment on table wallet_alert_event is 'Each time what is left of a wallet crosses an alert''s threshold, once.';

create table wallet_alert_delivery (
    customer_id bigint not null,
    document_id bigint not null,
    event_id bigint not null,
    delivered_at timestamptz not null default now(),
    primary key (customer_id, document_id, event_id),
    foreign key (customer_id, document_id, event_id) references wallet_alert_event
);
comment on table wallet_alert_delivery is 'Which crossings a webhook has taken.';

-- What is kept -------------------------------------------------------------------------------------------------

select pg_temp.never_changed('credit_grant', 'grant_move', 'breakage_estimate', 'draw_order', 'wallet_alert', 'wallet_alert_event',
                             'wallet_alert_delivery');
select keep_row_log(name)
from unnest(array['credit_grant', 'grant_move', 'breakage_estimate', 'draw_order', 'wallet_alert', 'wallet_alert_event',
                  'wallet_alert_delivery']) name;

-- A grant's balance is recomputed from what drew on it, but for what documents moved of it and when usage last fell: these are logged.
create function log_grant_balance() returns trigger language plpgsql security definer
    set search_path = pg_catalog, public, pg_temp as $$
begin
    perform pg_advisory_xact_lock_shared(71612);
    if tg_op = 'UPDATE' and (old.moved_minor <> 0 or old.returned_on is not null) then
        insert into row_log (row_log_id, table_name, key, hash, change)
        values (nextval('row_log_number'), 'grant_balance', concat_ws('/', old.customer_id, old.grant_id), grant_balance_hash(old), -1);
    end if;
    if new.moved_minor <> 0 or new.returned_on is not null then
        insert into row_log (row_log_id, table_name, key, hash, change)
        values (nextval('row_log_number'), 'grant_balance', concat_ws('/', new.customer_id, new.grant_id), grant_balance_hash(new), 1);
    end if;
    return null;
end $$;
create function grant_balance_hash(balance grant_balance) returns bytea language sql stable set datestyle = 'ISO, YMD' as $$
    select sha256(convert_to('grant_balance' || row(balance.customer_id, balance.grant_id, balance.moved_minor, balance.returned_on)::text, 'UTF8'))
$$;
create trigger logged_insert after insert on grant_balance for each row
    when (new.moved_minor <> 0 or new.returned_on is not null) execute function log_grant_balance();
create trigger logged_update after update on grant_balance for each row
    when ((old.moved_minor, old.returned_on) is distinct from (new.moved_minor, new.returned_on)) execute function log_grant_balance();
