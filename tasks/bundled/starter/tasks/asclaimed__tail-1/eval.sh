#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git status
git show
git -c core.fileMode=false diff 93bb5f6a267cf5a25c15e643bc3750ae6bcf70e8
git checkout 93bb5f6a267cf5a25c15e643bc3750ae6bcf70e8 tests/test_tail.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_tail.py b/tests/test_tail.py
index 76a189bf99d79fd1c9f9e677f613b6bf3cb9d668..16e4a3fcb36c87e550391f281a26c32f53663c11 100644
--- a/tests/test_tail.py
+++ b/tests/test_tail.py
@@ -7,3 +7,11 @@ def test_first():
 
 def test_last_of_two():
     assert last([5, 6]) == 6
+
+
+def test_last_of_three():
+    assert last([5, 6, 7]) == 7
+
+
+def test_last_of_one():
+    assert last([5]) == 5
EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_tail.py
: '>>>>> End Test Output'
git checkout 93bb5f6a267cf5a25c15e643bc3750ae6bcf70e8 tests/test_tail.py
