-- What of an obligation's bills is expected to be given back is kept less what was given back of it: so it stands again where a bill
-- comes back, or money for one that was written off.

comment on column obligation_terms.refund_minor is 'What of its bills is expected to be given back and was not yet: refund liability.';

insert into terms_to_fold
select distinct customer_id, subject from obligation_terms where refund_minor <> 0
on conflict do nothing;
