-- Documents of a customer by their type: which refunds failed, which notes were taken back. Usage, most of all that comes, is never asked for so.

create index document_kind on document (customer_id, type) where type <> 'usage';
