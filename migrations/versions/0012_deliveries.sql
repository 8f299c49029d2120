-- Deliveries of alerts to a webhook.

create table wallet_alert_delivery (
    customer_id bigint not null,
    document_id bigint not null,
    event_id bigint not null,
    delivered_at timestamptz not null default now(),
    primary key (customer_id, document_id, event_id),
    foreign key (customer_id, document_id, event_id) references wallet_alert_event
);
comment on table wallet_alert_delivery is 'Which crossings a webhook has taken.';
create trigger never_changed before update or delete on wallet_alert_delivery for each row execute function refuse_change();
create trigger never_emptied before truncate on wallet_alert_delivery for each statement execute function refuse_change();
