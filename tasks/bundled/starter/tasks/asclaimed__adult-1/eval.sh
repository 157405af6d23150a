#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git status
git show
git -c core.fileMode=false diff 02c8608de570da6ba18e4f82505282263b77bcfe
git checkout 02c8608de570da6ba18e4f82505282263b77bcfe tests/test_adult.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_adult.py b/tests/test_adult.py
index 4b6af1136959dbc81c62e1f5ebcee2a0ad71de68..2454adc9ff894b9754b4b7731484e779557644b7 100644
--- a/tests/test_adult.py
+++ b/tests/test_adult.py
@@ -7,3 +7,11 @@ def test_child():
 
 def test_grown_up():
     assert is_adult(40) is True
+
+
+def test_birthday():
+    assert is_adult(18) is True
+
+
+def test_the_day_before():
+    assert is_adult(17) is False
EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_adult.py
: '>>>>> End Test Output'
git checkout 02c8608de570da6ba18e4f82505282263b77bcfe tests/test_adult.py
