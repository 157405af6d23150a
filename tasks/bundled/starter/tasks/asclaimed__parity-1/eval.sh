#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git status
git show
git -c core.fileMode=false diff 9ffd7c3a66a8f97e8a589316ae494ec17d0acf11
git checkout 9ffd7c3a66a8f97e8a589316ae494ec17d0acf11 tests/test_parity.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_parity.py b/tests/test_parity.py
index c4add5b3fb6b440e44faedf9e91bd3bdf7bc3d48..3200316796d186ff579866ed9b38e9350e613fc4 100644
--- a/tests/test_parity.py
+++ b/tests/test_parity.py
@@ -7,3 +7,11 @@ def test_three_is_odd():
 
 def test_four_is_not_odd():
     assert is_odd(4) is False
+
+
+def test_four_is_even():
+    assert is_even(4) is True
+
+
+def test_seven_is_not_even():
+    assert is_even(7) is False
EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_parity.py
: '>>>>> End Test Output'
git checkout 9ffd7c3a66a8f97e8a589316ae494ec17d0acf11 tests/test_parity.py
