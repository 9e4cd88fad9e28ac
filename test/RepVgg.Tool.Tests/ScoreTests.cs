using System.Formats.Tar;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using RepVgg.Testing;
using RepVgg.Tool.CommandLine;
using RepVgg.Tool.Scoring;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>The command score: shards, parts, restarts, inputs and settings.</summary>
[Collection(ConsoleCollection.Name)]
public sealed class ScoreTests(ScoreTests.Data data) : IClassFixture<ScoreTests.Data>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Two_shards_together_have_the_rows_of_one_and_of_predict()
    {
        string[] settings = ["--input", data.Pictures, "--part-size", "4", "--format", "jsonl", "--top", "2"];
        string one = _folder.File("one"), two = _folder.File("two");
        Assert.Contains(" All shards are complete.", Score(one, settings), StringComparison.Ordinal);
        Assert.DoesNotContain(" All shards are complete.", Score(two, [.. settings, "--shard", "1", "--shards", "2", "--threads", "1"]), StringComparison.Ordinal);
        Assert.Equal(["_SUCCESS-00001", "_score.json", "part-00001-00000.jsonl", "part-00001-00001.jsonl", "part-00001-00002.jsonl"], Names(two));
        Assert.Contains(" All shards are complete.", Score(two, [.. settings, "--shard", "0", "--shards", "2"]), StringComparison.Ordinal);
        Assert.Equal("""{"images":21,"unreadable":0,"parts":6}""", File.ReadAllText(Path.Combine(two, "_SUCCESS")));
        Assert.Equal("""{"images":11,"unreadable":0,"parts":3}""", File.ReadAllText(Path.Combine(two, "_SUCCESS-00001")));

        string[] rows = Rows(one);
        Assert.Equal(rows, Rows(two));
        var (exitCode, output, error) = Programs.Tool.RunHere("predict", data.Model, data.Pictures, "--json", "--top", "2");
        Assert.True(exitCode == 0, error);
        Assert.Equal(output.TrimEnd().ReplaceLineEndings("\n").Split('\n'), rows.Select((row, index) => row.Replace($"\"row\":{index},", "", StringComparison.Ordinal)));

        // Nothing is computed twice, and a part that was removed is made again.
        Assert.Contains("6 parts, 6 of them complete", Score(one, settings), StringComparison.Ordinal);
        File.Delete(Path.Combine(one, "part-00000-00002.jsonl"));
        Assert.Contains("4 images in this run", Score(one, settings), StringComparison.Ordinal);
        Assert.Equal(rows, Rows(one));
    }

    [Fact]
    public void The_views_are_those_of_predict_and_belong_to_the_settings()
    {
        string output = _folder.File("out");
        string[] settings = ["--input", data.Pictures, "--format", "jsonl", "--tta", "five-crop"];
        Score(output, settings);
        string expected = Programs.Tool.Succeeds("predict", data.Model, data.Pictures, "--json", "--tta", "five-crop");
        Assert.NotEqual(expected, Programs.Tool.Succeeds("predict", data.Model, data.Pictures, "--json"));
        Assert.Equal(expected.TrimEnd().ReplaceLineEndings("\n").Split('\n'), Rows(output).Select((row, index) => row.Replace($"\"row\":{index},", "", StringComparison.Ordinal)));

        Assert.Contains("--tta (there five-crop, here none)", Fails(1, output, settings[..4]), StringComparison.Ordinal);
        Assert.Contains("--tta (there five-crop, here flip)", Fails(1, output, [.. settings[..5], "flip"]), StringComparison.Ordinal);
        Assert.Contains("--tta is 'both'", Fails(2, output, [.. settings[..5], "both"]), StringComparison.Ordinal);
    }

    [Fact]
    public void More_shards_than_images_are_complete_too()
    {
        string picture = Path.Combine(data.Pictures, "red", "0.png");
        for (int shard = 0; shard < 3; shard++)
            Score(_folder.File("out"), ["--input", picture, picture, "--shard", $"{shard}", "--shards", "3"]);
        Assert.Equal("""{"images":2,"unreadable":0,"parts":2}""", File.ReadAllText(_folder.File("out/_SUCCESS")));
    }

    [Fact]
    public void Tar_files_and_manifests_give_the_results_of_the_folder()
    {
        string[] paths = [.. Directory.EnumerateFiles(data.Pictures, "*.png", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
        for (int shard = 0; shard < 2; shard++)
        {
            using var tar = new TarWriter(File.Create(_folder.File($"shard-00{shard}.tar")));
            for (int i = 0; i < paths.Length; i++)
            {
                if (i < 10 != (shard == 0))
                    continue;
                tar.WriteEntry(paths[i], $"{i:d4}.png");
                tar.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, $"{i:d4}.cls") { DataStream = new MemoryStream("1"u8.ToArray()) });
            }
        }
        string relative = Path.GetRelativePath(_folder.Path, data.Pictures);
        _folder.Write("list.txt", Encoding.UTF8.GetBytes(string.Join("\r\n", paths.Select(path => Path.Combine(relative, Path.GetRelativePath(data.Pictures, path)))) + "\n\n"));
        _folder.Write("list.csv", Encoding.UTF8.GetBytes("id,path\n" + string.Concat(paths.Select((path, i) => $"{i},\"{path}\"\n"))));
        string[] inputs = [data.Pictures, _folder.File("shard-{000..001}.tar"), _folder.File("list.txt"), _folder.File("list.csv")];
        string[][] results = [.. inputs.Select((input, i) =>
        {
            Score(_folder.File($"out{i}"), ["--input", input, "--part-size", "8"]);
            Assert.StartsWith("row,path,label1,probability1,label2,probability2,label3,probability3\n", File.ReadAllText(_folder.File($"out{i}/part-00000-00001.csv")), StringComparison.Ordinal);
            return Rows(_folder.File($"out{i}"));
        })];
        Assert.Equal(21, results[0].Length);
        Assert.All(results, rows => Assert.Equal(results[0].Select(WithoutPath), rows.Select(WithoutPath)));
        Assert.StartsWith($"10,{_folder.File("shard-001.tar")}/0010.png,", results[1][10], StringComparison.Ordinal);
        Assert.StartsWith($"10,{relative}{Path.DirectorySeparatorChar}", results[2][10], StringComparison.Ordinal);

        static string WithoutPath(string row) => string.Join(',', row.Split(',').Where((_, column) => column != 1));
    }

    [Fact]
    public void Images_that_cannot_be_read_are_listed_and_no_row_is_lost()
    {
        byte[] picture = File.ReadAllBytes(Path.Combine(data.Pictures, "red", "0.png"));
        _folder.Write("good.png", picture);
        _folder.Write("good, too.png", picture);
        _folder.Write("cut.png", picture[..(picture.Length / 2)]);
        _folder.Write("text.png", "no picture"u8.ToArray());
        _folder.Write("empty.png", []);
        string list = _folder.Write("list.txt", "cut.png\ngood.png\nmissing.png\nempty.png\ntext.png\ngood, too.png\n"u8.ToArray()), output = _folder.File("out");
        Assert.Contains("6 images, 4 of them unreadable", Score(output, ["--input", list, "--part-size", "5"]), StringComparison.Ordinal);
        Assert.Equal(["1,good.png", "5,\"good, too.png\""], Rows(output).Select(row => row[..row.IndexOf(",red", StringComparison.Ordinal)]));
        var errors = File.ReadLines(Path.Combine(output, "_errors-00000-00000.jsonl")).Select(line => JsonSerializer.Deserialize<JsonElement>(line)).ToList();
        Assert.Equal([(0, "cut.png"), (2, "missing.png"), (3, "empty.png"), (4, "text.png")], errors.Select(error => (error.GetProperty("row").GetInt32(), error.GetProperty("path").GetString())));
        Assert.Contains("missing.png", errors[1].GetProperty("reason").GetString(), StringComparison.Ordinal);
        Assert.Equal("the file is empty", errors[2].GetProperty("reason").GetString());
        Assert.All([errors[0], errors[3]], error => Assert.StartsWith("the image cannot be read: ", error.GetProperty("reason").GetString(), StringComparison.Ordinal));
        Assert.Equal("""{"images":6,"unreadable":4,"parts":2}""", File.ReadAllText(Path.Combine(output, "_SUCCESS")));
        Assert.DoesNotContain("_errors-00000-00001.jsonl", Names(output));

        // The same again counts those of complete parts. A part whose images are repaired loses its list.
        Assert.Contains("6 images, 4 of them unreadable", Score(output, ["--input", list, "--part-size", "5"]), StringComparison.Ordinal);
        foreach (string name in new[] { "cut.png", "missing.png", "empty.png", "text.png" })
            _folder.Write(name, picture);
        File.Delete(Path.Combine(output, "part-00000-00000.csv"));
        Assert.Contains("6 images, 0 of them unreadable", Score(output, ["--input", list, "--part-size", "5"]), StringComparison.Ordinal);
        Assert.Equal(6, Rows(output).Length);
    }

    [Fact]
    public void A_shard_without_a_readable_image_is_complete_but_a_failure()
    {
        string list = _folder.Write("list.txt", "missing0.png\nmissing1.png\nmissing2.png\n"u8.ToArray()), output = _folder.File("out");
        // The second time, nothing is left to do.
        for (int run = 0; run < 2; run++)
            Assert.StartsWith("None of the images of the shard can be read.", Fails(1, output, ["--input", list]), StringComparison.Ordinal);
        Assert.Equal("""{"images":3,"unreadable":3,"parts":1}""", File.ReadAllText(Path.Combine(output, "_SUCCESS")));

        // A shard without images cannot fail.
        foreach (int shard in Enumerable.Range(0, 4))
            Assert.Equal(shard == 0 ? 0 : 1, Programs.Tool.RunHere("score", data.Model, "--input", list, "--output", _folder.File("four"), "--shard", $"{shard}", "--shards", "4").ExitCode);
    }

    [UnixTheory]
    [InlineData(9, 137)]
    [InlineData(2, 130)]
    public void A_process_that_is_ended_goes_on_after_its_last_complete_part(int signal, int exitCode)
    {
        byte[] picture = File.ReadAllBytes(Path.Combine(data.Pictures, "red", "0.png"));
        string list = _folder.Write("list.txt", Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 24).Select(i => $"{i}.png\n"))));
        foreach (int i in Enumerable.Range(0, 24))
            _folder.Write($"{i}.png", i == 5 ? [] : File.ReadAllBytes(Path.Combine(data.Pictures, "blue", $"{i % 7}.png")));
        string[] settings = ["--input", list, "--part-size", "4"];
        Score(_folder.File("whole"), settings);

        // The process waits for the content of a picture in the fourth part.
        string pipe = _folder.File("14.png");
        byte[] content = File.ReadAllBytes(pipe);
        File.Delete(pipe);
        Assert.Equal(0, MakePipe(pipe, 0x1B6));
        string output = _folder.File("out");
        using (var run = new ProgramRun(Programs.Tool.Start(["score", data.Model, "--output", output, .. settings])))
        {
            Assert.True(SpinWait.SpinUntil(() => run.HasEnded || File.Exists(Path.Combine(output, "part-00000-00002.csv")), ProgramRun.Longest));
            run.Send(signal);
            Assert.Equal(exitCode, run.End());
        }
        Assert.Equal(["_errors-00000-00001.jsonl", "_score.json", "part-00000-00000.csv", "part-00000-00001.csv", "part-00000-00002.csv"], Names(output));
        File.Delete(pipe);
        File.WriteAllBytes(pipe, content);
        Assert.Contains("6 parts, 3 of them complete", Score(output, settings), StringComparison.Ordinal);
        Assert.Equal(Names(_folder.File("whole")), Names(output));
        Assert.All(Names(output), name => Assert.Equal(File.ReadAllBytes(Path.Combine(_folder.File("whole"), name)), File.ReadAllBytes(Path.Combine(output, name))));
    }

    [Fact]
    public void Other_settings_are_refused_for_a_folder_with_results()
    {
        string output = _folder.File("out"), pictures = Path.Combine(data.Pictures, "red"), other = _folder.File("other.zip");
        string[] settings = ["--input", pictures, "--shards", "2", "--part-size", "4"];
        Score(output, [.. settings, "--shard", "0"]);
        Assert.Contains("--shards (there 2, here 3)", Fails(1, output, [.. settings[..2], "--shards", "3", "--part-size", "4", "--shard", "1"]), StringComparison.Ordinal);
        Assert.Contains("--part-size (there 4, here 5)", Fails(1, output, [.. settings[..4], "--part-size", "5", "--shard", "1"]), StringComparison.Ordinal);
        Assert.Contains("--format (there csv, here jsonl), --top (there 3, here 1)", Fails(1, output, [.. settings, "--shard", "1", "--format", "jsonl", "--top", "1"]), StringComparison.Ordinal);
        Assert.Contains("the list of images", Fails(1, output, ["--input", Path.Combine(data.Pictures, "blue"), .. settings[2..], "--shard", "1"]), StringComparison.Ordinal);
        File.WriteAllBytes(other, [.. File.ReadAllBytes(data.Model), 0]);
        var (exitCode, _, error) = Programs.Tool.RunHere(["score", other, "--output", output, .. settings, "--shard", "1"]);
        Assert.True(exitCode == 1 && error.Contains("the model (there ", StringComparison.Ordinal), error);
        Assert.DoesNotContain(Names(output), name => name.StartsWith("part-00001", StringComparison.Ordinal));
        File.Delete(Path.Combine(output, "_score.json"));
        Assert.Contains("has parts, but no '_score.json'", Fails(1, output, [.. settings, "--shard", "1"]), StringComparison.Ordinal);
    }

    [Fact]
    public void Inputs_and_numbers_that_do_not_fit_are_named()
    {
        string output = _folder.File("out"), text = _folder.Write("text.tar", new byte[700].Select((_, i) => (byte)(i % 90 + 32)).ToArray()), table = _folder.Write("table.csv", "id\n1.png\n"u8.ToArray());
        Assert.Contains("There is no folder or file", Fails(1, output, ["--input", _folder.File("missing")]), StringComparison.Ordinal);
        Assert.Contains("text.tar' is damaged or no tar file", Fails(1, output, ["--input", text]), StringComparison.Ordinal);
        Assert.Contains("has no column 'path'", Fails(1, output, ["--input", table]), StringComparison.Ordinal);
        Assert.Contains("is compressed", Fails(1, output, ["--input", _folder.Write("a.tar.gz", [1])]), StringComparison.Ordinal);
        Assert.Contains("The input has no images", Fails(1, output, ["--input", _folder.Write("none.txt", "\n"u8.ToArray())]), StringComparison.Ordinal);
        Assert.Contains("neither a text file", Fails(1, output, ["--input", _folder.Write("model.bin", File.ReadAllBytes(data.Model))]), StringComparison.Ordinal);
        Assert.Contains("--input is missing", Fails(2, output, []), StringComparison.Ordinal);
        Assert.False(Directory.Exists(output));
    }

    [Theory]
    [InlineData("", null, null, 0, 1)]
    [InlineData("", 2, 3, 2, 3)]
    [InlineData("JOB_COMPLETION_INDEX=3 JOB_COMPLETIONS=5", null, null, 3, 5)]
    [InlineData("JOB_COMPLETION_INDEX=3", null, 4, 3, 4)]
    [InlineData("SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=5 SLURM_ARRAY_TASK_MIN=5", null, null, 2, 5)]
    [InlineData("SLURM_ARRAY_TASK_ID=9 SLURM_ARRAY_TASK_COUNT=5 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_STEP=2", null, null, 4, 5)]
    [InlineData("SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=7", null, 100, 7, 100)]
    [InlineData("RANK=1 WORLD_SIZE=2", null, null, 1, 2)]
    [InlineData("RANK=1 WORLD_SIZE=2", 0, 9, 0, 9)]
    [InlineData("RANK=1 WORLD_SIZE=2 JOB_COMPLETION_INDEX=1 JOB_COMPLETIONS=2", null, null, 1, 2)]
    [InlineData("RANK=a", 0, 1, 0, 1)]
    public void The_shard_is_that_of_the_options_or_of_the_launcher(string variables, int? index, int? count, int expectedIndex, int expectedCount) =>
        Assert.Equal(new Shard(expectedIndex, expectedCount), ShardOf(variables, index, count));

    [Theory]
    [InlineData("JOB_COMPLETION_INDEX=3", null, null, "JOB_COMPLETION_INDEX is set, but JOB_COMPLETIONS is not")]
    [InlineData("SLURM_ARRAY_TASK_COUNT=3", null, null, "SLURM_ARRAY_TASK_COUNT is set, but SLURM_ARRAY_TASK_ID is not")]
    [InlineData("RANK=0 WORLD_SIZE=", null, null, "RANK is set, but WORLD_SIZE is not")]
    [InlineData("RANK=0 WORLD_SIZE=two", null, null, "WORLD_SIZE is 'two'")]
    [InlineData("RANK=2 WORLD_SIZE=2", null, null, "The shard is 2, but the shards are numbered from 0 to 1")]
    [InlineData("SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=2 SLURM_ARRAY_TASK_MIN=3", null, null, "does not fit to SLURM_ARRAY_TASK_MIN, 3")]
    [InlineData("RANK=0 WORLD_SIZE=2 JOB_COMPLETION_INDEX=1 JOB_COMPLETIONS=2", null, null, "JOB_COMPLETION_INDEX and RANK name different shards")]
    [InlineData("", 1, null, "--shards is missing")]
    [InlineData("", null, 2, "--shard is missing")]
    [InlineData("", 0, 0, "numbered from 0")]
    public void Incomplete_and_contradictory_numbers_are_refused(string variables, int? index, int? count, string expected) =>
        Assert.Contains(expected, Assert.Throws<UsageException>(() => ShardOf(variables, index, count)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData(10, 3)]
    [InlineData(2, 5)]
    [InlineData(int.MaxValue, 1000)]
    public void The_blocks_of_the_shards_are_all_images_once(int images, int shards)
    {
        int next = 0;
        for (int index = 0; index < shards; index++)
        {
            var (offset, length) = new Shard(index, shards).BlockOf(images).GetOffsetAndLength(images);
            Assert.Equal(next, offset);
            Assert.InRange(length, images / shards, images / shards + 1);
            next += length;
        }
        Assert.Equal(images, next);
    }

    private static Shard ShardOf(string variables, int? index, int? count)
    {
        var values = variables.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(text => text.Split('=')).ToDictionary(pair => pair[0], pair => pair[1]);
        return Shard.Of(index, count, values.GetValueOrDefault);
    }

    private string Score(string output, string[] settings)
    {
        var (exitCode, text, error) = Programs.Tool.RunHere(["score", data.Model, "--output", output, .. settings]);
        Assert.True(exitCode == 0, text + error);
        return text;
    }

    private string Fails(int code, string output, string[] settings)
    {
        var (exitCode, text, error) = Programs.Tool.RunHere(["score", data.Model, "--output", output, .. settings]);
        Assert.True(exitCode == code, text + error);
        return error;
    }

    private static IEnumerable<string> Names(string folder) => Directory.EnumerateFileSystemEntries(folder).Select(path => Path.GetFileName(path)!).Order(StringComparer.Ordinal);

    private static string[] Rows(string folder) =>
        [.. Names(folder).Where(name => name.StartsWith("part-", StringComparison.Ordinal)).SelectMany(name => File.ReadLines(Path.Combine(folder, name))).Where(line => !line.StartsWith("row,", StringComparison.Ordinal))];

    [DllImport("libc", EntryPoint = "mkfifo")]
    private static extern int MakePipe([MarshalAs(UnmanagedType.LPUTF8Str)] string path, uint mode);

    /// <summary>Seven pictures of each of three classes, and a model that was trained on them.</summary>
    public sealed class Data : IDisposable
    {
        private readonly TemporaryFolder _folder = new();

        public Data()
        {
            Pictures = Tests.Pictures.Folder(_folder, "pictures", 7);
            var (exitCode, output, error) = Programs.Tool.RunHere("train", Pictures, "--output", _folder.File("runs"), "--name", "run", "--epochs", "4", "--batch-size", "8", "--device", "cpu");
            Assert.True(exitCode == 0, output + error);
        }

        public string Pictures { get; }

        public string Model => Path.Combine(_folder.Path, "runs", "run", "model.zip");

        public void Dispose() => _folder.Dispose();
    }
}
