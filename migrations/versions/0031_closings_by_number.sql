-- Which entries were there when a month was closed is told by their numbers, not by clocks, which may be set back.

alter table period_event add last_entry bigint;
comment on column period_event.last_entry is 'The last entry number taken by then; none of what an older release closed or opened.';
