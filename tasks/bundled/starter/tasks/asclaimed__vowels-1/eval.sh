#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git status
git show
git -c core.fileMode=false diff 47dae2015221ac7152eecc2e5bb9417f9e7cd6c7
git checkout 47dae2015221ac7152eecc2e5bb9417f9e7cd6c7 tests/test_vowels.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_vowels.py b/tests/test_vowels.py
index dd6bf3cbdd4c0df73e475098adc229f817b5308b..8075364f6c8d277fa418f5282eb5c8bcb4999e89 100644
--- a/tests/test_vowels.py
+++ b/tests/test_vowels.py
@@ -3,3 +3,11 @@ from vowels import count_vowels
 
 def test_tea():
     assert count_vowels("tea") == 2
+
+
+def test_sun():
+    assert count_vowels("sun") == 1
+
+
+def test_sausage():
+    assert count_vowels("sausage") == 4
EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_vowels.py
: '>>>>> End Test Output'
git checkout 47dae2015221ac7152eecc2e5bb9417f9e7cd6c7 tests/test_vowels.py
