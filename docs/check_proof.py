"""Check that an entry is under a seal: python check_proof.py proof.json seal.json

`tickmark seal --prove ENTRY` writes the proof; the seal was kept elsewhere when it was made (`tickmark seal --export`).
Needs Python 3.8 and nothing else. Says what the entry posts; exits with 1 where the proof does not hold.
"""
import hashlib, json, struct, sys

proof, kept = (json.load(open(name, encoding="utf-8")) for name in sys.argv[1:3])
sha256 = lambda content: hashlib.sha256(content).digest()

def block_hash(block):
    """SHA-256 over every field but the hash, each behind its length."""
    content = b""
    for name, field in block.items():
        if name != "hash":
            part = bytes.fromhex(field) if name.endswith("root") or name == "previous" else field.encode()
            content += struct.pack(">I", len(part)) + part
    return sha256(content).hex()

entry, postings, blocks = proof["entry"], proof["postings"], proof["blocks"]
moment = entry["posted_at"] - 946_684_800_000_000  # microseconds since 2000-01-01, days likewise
leaf = struct.pack(">qqqqqiii", entry["customer_id"], entry["entry_id"], entry["document_id"], moment, entry["reverses"] or 0,
                   entry["effective_on"], entry["occurred_on"], len(postings)) + entry["posted_by"].encode()
for p in postings:
    leaf += struct.pack(">hhqqqq", p["line"], p["rule"], p["debit_account"], p["credit_account"], p["amount"], p["functional_amount"])
node = sha256(leaf)
for side, beside in proof["path"]:  # up the tree, to the root in the entry's block
    beside = bytes.fromhex(beside)
    node = sha256(b"\1" + (beside + node if side == "left" else node + beside))
holds = node.hex() == blocks[0]["root"] and all(b["previous"] == block_hash(a) for a, b in zip(blocks, blocks[1:]))
holds = holds and block_hash(kept) == kept["hash"] and kept["hash"] in [block_hash(block) for block in blocks]
print(f"entry {entry['entry_id']} by {entry['posted_by']} is{'' if holds else ' NOT'} under seal {kept['seal_id']}")
for p in postings:
    print(f"  line {p['line']}: {p['amount']} minor units from account {p['credit_account']} to {p['debit_account']}, rule {p['rule']}")
sys.exit(0 if holds else 1)
