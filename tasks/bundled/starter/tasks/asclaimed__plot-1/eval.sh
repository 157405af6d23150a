#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git status
git show
git -c core.fileMode=false diff 7915a6642790c92fa67bc4f29698d790ae387c08
git checkout 7915a6642790c92fa67bc4f29698d790ae387c08 tests/test_plot.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_plot.py b/tests/test_plot.py
index e8dbc8bd352dd57f83655a0edc75a0e28a277090..e18fef2f12af86aa5bf79584f8bac3c9748550f8 100644
--- a/tests/test_plot.py
+++ b/tests/test_plot.py
@@ -7,3 +7,11 @@ def test_perimeter():
 
 def test_area_of_two_by_two():
     assert area(2, 2) == 4
+
+
+def test_three_by_four():
+    assert area(3, 4) == 12
+
+
+def test_strip():
+    assert area(10, 1) == 10
EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_plot.py
: '>>>>> End Test Output'
git checkout 7915a6642790c92fa67bc4f29698d790ae387c08 tests/test_plot.py
