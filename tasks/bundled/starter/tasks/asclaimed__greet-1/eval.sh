#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git status
git show
git -c core.fileMode=false diff d9759e78f41c6f2a7cb0982d2aa1bdf908901021
git checkout d9759e78f41c6f2a7cb0982d2aa1bdf908901021 tests/test_greet.py
git apply -v - <<'EOF_114329324912'
diff --git a/tests/test_greet.py b/tests/test_greet.py
index a58cff59aa81f35c7a564b3f4efadaefa9cb9481..6cfd64a30ef058fbe32abd3dbe5ad01cb85d06cd 100644
--- a/tests/test_greet.py
+++ b/tests/test_greet.py
@@ -3,3 +3,11 @@ from greet import greet
 
 def test_greeting_has_the_name():
     assert "Ann" in greet("Ann")
+
+
+def test_ann_is_greeted():
+    assert greet("Ann") == "Hello, Ann!"
+
+
+def test_bo_is_greeted():
+    assert greet("Bo") == "Hello, Bo!"
EOF_114329324912
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_greet.py
: '>>>>> End Test Output'
git checkout d9759e78f41c6f2a7cb0982d2aa1bdf908901021 tests/test_greet.py
