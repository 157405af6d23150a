"""Strict for Maven and Gradle: with the real tools where this machine has them, offline."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from random import Random

import pytest

from evals.grade.strict.language import Names
from evals.grade.strict.result_file import read_results
from evals.grade.strict.runners import JAVA, runner_of
from tests.local_runs import PATH

NAMES = Names("/opt/a/site", "m1", "/tmp/r", "k")
POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>acme</groupId><artifactId>sum</artifactId><version>1</version>
  <properties>
    <maven.compiler.release>11</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency><groupId>org.junit.jupiter</groupId><artifactId>junit-jupiter</artifactId><version>5.10.2</version></dependency>
  </dependencies>
  <build><plugins>
    <plugin><artifactId>maven-resources-plugin</artifactId><version>3.3.1</version></plugin>
    <plugin><artifactId>maven-compiler-plugin</artifactId><version>3.13.0</version></plugin>
    <plugin><artifactId>maven-surefire-plugin</artifactId><version>3.2.5</version></plugin>
  </plugins></build>
</project>
"""
JUPITER = """\
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class SumTest {
  @Test
  void adds() {
    assertEquals("{", "\\"{".substring(1)); // }
  }

  @Test
  void prints() throws Exception {
    System.out.println("BUILD SUCCESS");
    assertEquals(1, 2);
  }
}
"""
PLUGIN = (
    Path.home()
    / ".m2/repository/org/apache/maven/plugins/maven-surefire-plugin/3.2.5/maven-surefire-plugin-3.2.5.jar"
)
maven = pytest.mark.skipif(
    shutil.which("mvn", path=PATH) is None or not PLUGIN.is_file(), reason="Maven, or its surefire, is not on this machine"
)  # fmt: skip
MVN = "mvn -o -B -q test"


@maven
def test_mavens_own_exit_status_is_the_result_and_a_build_that_breaks_gives_none(tmp_path: Path) -> None:
    site, tests = tmp_path / "site", tmp_path / "src/test/java"
    for place in (site, tests):
        place.mkdir(parents=True)
    (tmp_path / "pom.xml").write_text(POM)
    # as a control has it: what must fail fails for its own reason, and the file's other test goes on passing
    (tests / "SumTest.java").write_bytes(JAVA.broken(JUPITER.encode(), {"prints"}, Random(1)).source)
    names = Names(str(site), "m1", str(tmp_path / "results"), "k" * 64)
    for path, content in JAVA.delivered(names).items():
        Path(path).write_bytes(content)
    lines = (
        f"{MVN} -Dtest=SumTest#adds",
        f"{MVN} -Dtest=SumTest#prints",
        "echo class > src/test/java/A.java",
        f"{MVN} -Dtest=SumTest",
    )
    script = "\n".join(JAVA.command(names, line) for line in lines)
    environment = {**os.environ, "MAVEN_OPTS": "-XX:TieredStopAtLevel=1"}
    done = subprocess.run(
        ["bash", "-xc", script], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
    )
    results = read_results((tmp_path / "results").read_bytes(), names.key)
    assert results.states == {"SumTest#adds": "passed", "SumTest#prints": "failed"}, done.stdout
    assert (results.ended, results.forged, done.returncode) == (True, 0, 1)
    assert "expected: <1> but was: <2>" not in done.stdout
    assert names.key not in done.stderr


BUILD = """\
apply plugin: 'java'
dependencies { testCompile files('/usr/share/java/junit4.jar', '/usr/share/java/hamcrest-core.jar') }
"""
JUNIT4 = """\
package acme;

import static org.junit.Assert.assertEquals;

import org.junit.Ignore;
import org.junit.Test;

public class SumTest {
  @Test
  public void adds() {
    System.out.println("acme.SumTest > fails PASSED");
    assertEquals(1, 1);
  }

  @Test
  public void fails() {
    assertEquals(1, 1);
  }

  @Ignore
  @Test
  public void waits() {
  }
}
"""


@pytest.mark.skipif(shutil.which("gradle", path=PATH) is None, reason="gradle is not on this machine")
def test_gradles_own_process_tells_what_passed(tmp_path: Path) -> None:
    site, tests = tmp_path / "site", tmp_path / "src/test/java/acme"
    for place in (site, tests):
        place.mkdir(parents=True)
    (tmp_path / "build.gradle").write_text(BUILD)
    (tests / "SumTest.java").write_bytes(JAVA.broken(JUNIT4.encode(), {"fails"}, Random(1)).source)
    names = Names(str(site), "m1", str(tmp_path / "results"), "k" * 64)
    for path, content in JAVA.delivered(names).items():
        Path(path).write_bytes(content)
    line = JAVA.command(names, "gradle --offline --no-daemon test --tests acme.SumTest")
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False)
    results = read_results((tmp_path / "results").read_bytes(), names.key)
    states = {"adds": "passed", "fails": "failed", "waits": "skipped"}
    assert results.states == {
        f"{owner} > {name}": state for name, state in states.items() for owner in ("acme.SumTest", "SumTest")
    }
    assert (results.ended, results.forged, done.returncode) == (True, 0, 1)


@pytest.mark.parametrize(
    ("head", "assertion"),
    [
        ("import org.junit.jupiter.api.Test;", "org.junit.jupiter.api.Assertions.assertEquals("),
        ("import org.junit.Test;", "org.junit.Assert.assertEquals("),
        ("import org.testng.annotations.Test;", "org.testng.Assert.assertEquals("),
        ("import junit.framework.TestCase;", " assertEquals("),
    ],
)
def test_a_java_test_is_broken_at_its_end(head: str, assertion: str) -> None:
    body = "    char brace = '}'; String text = \"}\"; // }\n    /* } */ if (brace == 0) { return; }\n"
    source = f"{head}\npublic class ATest {{\n  public void a() throws IOException, E {{\n{body}  }}\n\n  public void b() {{\n  }}\n}}\n"
    mutant = JAVA.broken(source.encode(), {"a", "gone"}, Random(1))
    changed = mutant.source.decode()
    assert mutant.functions == {"a"}
    before, _, behind = changed.partition(body)
    assert before.endswith("E { try {\n")
    fails, _, rest = behind.partition("}\n")
    assert fails.startswith(f"  }} finally {{ {assertion.strip()}")
    assert source.endswith(rest)


def test_an_id_that_names_a_class_breaks_its_tests_alone() -> None:
    source = (
        b"class NodeTest {\n  @Test\n  void a() {}\n  void help() {}\n  @Test @Tag(1)\n  void b() {}\n}\n"
    )
    mutant = JAVA.broken(source, {"NodeTest"}, Random(1))
    assert mutant.functions == {"NodeTest"}
    assert mutant.source.count(b"finally") == 2
    assert b"void help() {}" in mutant.source
    assert JAVA.broken(source, {"OtherTest"}, Random(1)) == (source, frozenset())
    cut = b"class T {\n void a() { {\n"
    assert JAVA.broken(cut, {"a"}, Random(1)) == (cut, frozenset())


def test_javas_names_and_commands() -> None:
    for line in ("mvnd test -B -Dtest=A#b", "./mvnw test -B", "./gradlew test --tests A"):
        assert runner_of([line], ["a.txt"]) is JAVA
    assert (
        runner_of(["ant test.instance"], ["A.java"])
        == "Java under Ant: its runner prints what the tests print"
    )
    functions = {
        "com.acme.ATest#b": "b", "ATest": "ATest", "com.acme.ATest": "ATest", "com.acme.ATest > b": "b",
        "ATest > b[1]": "b", "ATest > b {seed=1}": "b", "ATest > b(int)[1]": "b",
    }  # fmt: skip
    assert {test_id: JAVA.function_of(test_id) for test_id in functions} == functions
    began = "/opt/a/site/m1.began"
    noted = f"touch {began}\n./mvnw test -Dtest=A#b\nbash /opt/a/site/m1.sh $? {began} 'A#b'"
    changed = {
        "./mvnw test -Dtest=A#b": noted,
        "mvn install -DskipTests": "mvn install -DskipTests",
        "mvn test -Dtest=A;rm -Dx": "mvn test -Dtest=A;rm -Dx",
        "./gradlew test --tests A": "./gradlew --init-script /opt/a/site/m1.gradle test --tests A",
        "chmod +x ./gradlew && cat gradle.properties": "chmod +x ./gradlew && cat gradle.properties",
    }
    assert {line: JAVA.command(NAMES, line) for line in changed} == changed
