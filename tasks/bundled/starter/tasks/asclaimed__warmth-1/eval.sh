#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git status
git show
git -c core.fileMode=false diff c71032330db28c4095d1c7f7b33c424a91313b0d
git checkout c71032330db28c4095d1c7f7b33c424a91313b0d tests/test_warmth.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_warmth.py b/tests/test_warmth.py
index c4033c0ec78d18a89594060ac25525c7f94dfc7c..7c7453605062aae2a65fc72d9096beb654c0347e 100644
--- a/tests/test_warmth.py
+++ b/tests/test_warmth.py
@@ -3,3 +3,11 @@ from warmth import fahrenheit
 
 def test_colder_is_less():
     assert fahrenheit(-10) < fahrenheit(10)
+
+
+def test_freezing_point():
+    assert fahrenheit(0) == 32
+
+
+def test_boiling_point():
+    assert fahrenheit(100) == 212
EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_warmth.py
: '>>>>> End Test Output'
git checkout c71032330db28c4095d1c7f7b33c424a91313b0d tests/test_warmth.py
