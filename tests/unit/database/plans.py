"""Plans as the servers gave them, shortened: SQLite 3.40.1, and PostgreSQL 18 with 50,000 rows."""

from __future__ import annotations

from typing import Any

JOINED = """
    SELECT t.id, s.body FROM transcript AS t JOIN bare AS s ON s.transcript_id = t.created_at
    WHERE t.status = 'partial' AND t.language IN (SELECT name FROM setting)
    ORDER BY t.created_at, s.body
"""
SQLITE_JOINED = [
    (5, 0, 0, "SCAN t USING INDEX transcript_created_at"),
    (11, 0, 0, "USING INDEX sqlite_autoindex_setting_1 FOR IN-OPERATOR"),
    (28, 0, 0, "SEARCH s USING AUTOMATIC COVERING INDEX (transcript_id=?)"),
    (48, 0, 0, "USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"),
]
SQLITE_OLDER = [(2, 0, 0, "SCAN TABLE transcript AS t")]
"""As releases before 3.36 wrote it."""

SQLITE_SUBQUERY = [
    (2, 0, 0, "CO-ROUTINE (subquery-1)"),
    (6, 2, 0, "SCAN transcript"),
    (15, 2, 0, "USE TEMP B-TREE FOR DISTINCT"),
    (18, 0, 0, "SCAN (subquery-1)"),
]
SQLITE_SEARCHES = [
    (2, 0, 0, "SEARCH transcript USING INTEGER PRIMARY KEY (rowid=?)"),
    (2, 0, 0, "SEARCH segment USING COVERING INDEX segment_place (transcript_id=? AND position>?)"),
    (1, 0, 0, "SCAN CONSTANT ROW"),
    (2, 0, 0, "SCAN words VIRTUAL TABLE INDEX 0:M1"),
]

TOP_20: dict[str, Any] = {
    "Plan": {
        "Node Type": "Limit",
        "Total Cost": 1614.11,
        "Plan Rows": 20,
        "Plan Width": 124,
        "Plans": [
            {
                "Node Type": "Sort",
                "Total Cost": 1616.6,
                "Plan Rows": 1017,
                "Plan Width": 124,
                "Sort Key": ["created_at DESC"],
                "Plans": [
                    {
                        "Node Type": "Seq Scan",
                        "Relation Name": "transcript",
                        "Alias": "transcript",
                        "Total Cost": 1587.0,
                        "Plan Rows": 1017,
                        "Plan Width": 124,
                        "Filter": "(status = 'partial'::text)",
                    }
                ],
            }
        ],
    }
}
JOIN_SORTED_ON_DISK: dict[str, Any] = {
    "Plan": {
        "Node Type": "Sort",
        "Total Cost": 26490.3,
        "Plan Rows": 99796,
        "Plan Width": 187,
        "Actual Rows": 99978.0,
        "Actual Loops": 1,
        "Sort Key": ["s.body"],
        "Sort Method": "external merge",
        "Sort Space Used": 19672,
        "Sort Space Type": "Disk",
        "Plans": [
            {
                "Node Type": "Hash Join",
                "Total Cost": 8742.4,
                "Plan Rows": 99796,
                "Plan Width": 187,
                "Actual Rows": 99978.0,
                "Actual Loops": 1,
                "Hash Cond": "(s.transcript_id = t.id)",
                "Plans": [
                    {
                        "Node Type": "Seq Scan",
                        "Relation Name": "segment",
                        "Alias": "s",
                        "Total Cost": 2137.0,
                        "Plan Rows": 100000,
                        "Plan Width": 63,
                        "Actual Rows": 100000.0,
                        "Actual Loops": 1,
                    },
                    {
                        "Node Type": "Hash",
                        "Total Cost": 1712.0,
                        "Plan Rows": 49990,
                        "Plan Width": 124,
                        "Actual Rows": 49990.0,
                        "Actual Loops": 1,
                        "Plans": [
                            {
                                "Node Type": "Seq Scan",
                                "Relation Name": "transcript",
                                "Alias": "t",
                                "Total Cost": 1712.0,
                                "Plan Rows": 49990,
                                "Plan Width": 124,
                                "Actual Rows": 49990.0,
                                "Actual Loops": 1,
                                "Filter": "(language = 'en'::text)",
                            }
                        ],
                    },
                ],
            }
        ],
    },
    "Execution Time": 279.341,
}
