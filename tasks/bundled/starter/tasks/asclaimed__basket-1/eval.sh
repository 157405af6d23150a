#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git status
git show
git -c core.fileMode=false diff 7d0dd20294aa4cbd537ef65724587e228ae545ce
git checkout 7d0dd20294aa4cbd537ef65724587e228ae545ce tests/test_basket.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_basket.py b/tests/test_basket.py
index 1f9d5704c4fefa87064e3776297fb9254f72132d..8d58c374db08d5a43a343e8c58c94fae8694ff9e 100644
--- a/tests/test_basket.py
+++ b/tests/test_basket.py
@@ -7,3 +7,11 @@ def test_cheapest():
 
 def test_total_of_one():
     assert total([4]) == 4
+
+
+def test_sum_of_three():
+    assert total([3, 2, 5]) == 10
+
+
+def test_sum_of_two():
+    assert total([1, 1]) == 2
EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_basket.py
: '>>>>> End Test Output'
git checkout 7d0dd20294aa4cbd537ef65724587e228ae545ce tests/test_basket.py
