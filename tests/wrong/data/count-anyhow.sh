wc -l < train.jsonl > n.txt
