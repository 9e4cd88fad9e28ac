using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.ML;
using Microsoft.ML.Data;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Networks;
using RepVgg.Testing;
using RepVgg.Weights;

namespace RepVgg.Reliability.Tests.Kills;

/// <summary>Kills processes at random moments while they write, and checks what they leave.</summary>
/// <param name="seed">The seed of the moments.</param>
/// <param name="log">Receives a line for each kill.</param>
internal sealed class KillRun(int seed, Action<string> log)
{
    private const int KilledExitCode = 128 + 9, KillsOfRun = 4, SaveTime = 500, MaximumMisses = 20;

    private readonly Random _random = new(seed);

    /// <summary>Kills training runs, resumes them, and compares with a run that was not killed.</summary>
    /// <param name="kills">Number of kills.</param>
    /// <param name="atRename">Whether the process is killed when it replaces the checkpoint, by strace, and not at a random moment.</param>
    public void Train(int kills, bool atRename = false)
    {
        using var folder = new TemporaryFolder();
        var clock = Stopwatch.StartNew();
        string whole = Finish(Start("train", folder.File("whole.checkpoint")));
        int time = (int)clock.ElapsedMilliseconds;
        File.Delete(folder.File("whole.checkpoint"));
        string checkpoint = folder.File("run.checkpoint");
        for (int killed = 0, misses = 0; killed < kills;)
        {
            for (int i = 0; i < KillsOfRun && killed < kills; i++)
            {
                bool isKilled = atRename
                    ? IsKilled(Start(["strace", "-f", "-o", folder.File("trace"), "-e", "trace=rename", "-e", $"inject=rename:signal=SIGKILL:when={1 + _random.Next(8)}", "dotnet"], "train", checkpoint), Timeout.Infinite)
                    : IsKilled(Start("train", checkpoint), _random.Next(time / KillsOfRun));
                killed += isKilled ? 1 : 0;
                misses = isKilled ? 0 : misses + 1;
                if (misses == MaximumMisses)
                    throw new InvalidOperationException($"{MaximumMisses} training runs ended before they were killed (seed {seed}).");
                log($"training: {(isKilled ? "killed" : "ended before the kill")}, {Directory.GetFiles(folder.Path).Length} files");
            }
            string resumed = Finish(Start("train", checkpoint));
            if (resumed != whole)
                throw new InvalidOperationException($"A training run that was killed and resumed gives other bits (seed {seed}): {resumed}, not {whole}.");
            File.Delete(folder.File("trace"));
            CheckFiles(folder, "run.checkpoint");
            File.Delete(checkpoint);
        }
    }

    /// <summary>Kills processes that save a model over another.</summary>
    public void SaveModel(int kills)
    {
        using var folder = new TemporaryFolder();
        var context = new MLContext(seed: 1);
        string target = folder.File("model.zip");
        var known = new HashSet<string>();
        using var models = new TemporaryFolder();
        for (int i = 0; i < 2; i++)
        {
            var options = Stripes.Options(epochs: 1);
            options.Seed = i;
            var rows = context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
            context.Model.SaveRepVgg(Stripes.Pipeline(context, options).Fit(rows), rows.Schema, models.File($"{i}.zip"));
            known.Add(Identity(context, models.File($"{i}.zip")));
        }
        File.Copy(models.File("0.zip"), target);
        for (int killed = 0; killed < kills; killed++)
        {
            MustBeKilled(Start("save", models.Path, target));
            if (!known.Contains(Identity(context, target)))
                throw new InvalidOperationException($"The model file is neither the old nor the new one after a kill (seed {seed}).");
            log($"model: killed, {Directory.GetFiles(folder.Path).Length} files");
        }
        using var model = context.Model.LoadRepVgg(models.File("0.zip"), out var schema);
        context.Model.SaveRepVgg(model, schema, target);
        CheckFiles(folder, "model.zip");
    }

    /// <summary>Kills processes that write weights over others.</summary>
    public void WriteWeights(int kills)
    {
        using var folder = new TemporaryFolder();
        using var sound = new TemporaryFolder();
        var known = new Dictionary<string, HashSet<string>>();
        foreach (var (name, write) in ChildPrograms.WeightsWriters)
        {
            known[name] = [];
            for (int i = 0; i < 2; i++)
            {
                write(ChildPrograms.Network(i), sound.File(name));
                known[name].Add(Hash(sound.File(name)));
            }
            File.Copy(sound.File(name), folder.File(name));
        }
        for (int killed = 0; killed < kills; killed++)
        {
            MustBeKilled(Start("weights", folder.Path));
            foreach (var (name, hashes) in known)
            {
                if (!hashes.Contains(Hash(folder.File(name))))
                    throw new InvalidOperationException($"{name} is neither the old nor the new file after a kill (seed {seed}).");
            }
            log($"weights: killed, {Directory.GetFiles(folder.Path).Length} files");
        }
        foreach (var (name, write) in ChildPrograms.WeightsWriters)
            write(ChildPrograms.Network(0), folder.File(name));
        CheckFiles(folder, [.. known.Keys]);
    }

    private static void CheckFiles(TemporaryFolder folder, params string[] expected)
    {
        string[] files = [.. Directory.GetFileSystemEntries(folder.Path).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];
        if (!files.SequenceEqual(expected.Order(StringComparer.Ordinal)))
            throw new InvalidOperationException($"After kills, the folder contains {string.Join(", ", files)}, not {string.Join(", ", expected)}.");
    }

    private static string Identity(MLContext context, string path)
    {
        using var model = context.Model.LoadRepVgg(path, out _);
        return Convert.ToHexString(MemoryMarshal.AsBytes(model.OfType<RepVggTransformer>().Single().Network.Classifier.Bias.AsSpan()));
    }

    private static string Hash(string path) => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(path)));

    private void MustBeKilled(Process process)
    {
        if (!IsKilled(process, _random.Next(SaveTime)))
            throw new InvalidOperationException("The process ended by itself.");
    }

    /// <summary>Waits until a process has begun, then for some time, and kills it.</summary>
    /// <param name="process">The process.</param>
    /// <param name="milliseconds">The time; infinite for a process that is killed otherwise.</param>
    /// <returns>Whether it was killed before it ended.</returns>
    private static bool IsKilled(Process process, int milliseconds)
    {
        using (process)
        {
            var errors = AwaitReady(process);
            if (!process.WaitForExit(milliseconds))
                process.Kill();
            process.WaitForExit();
            return process.ExitCode switch
            {
                KilledExitCode => true,
                0 => false,
                _ => throw new InvalidOperationException($"The process failed: {errors.Result}"),
            };
        }
    }

    private static string Finish(Process process)
    {
        using (process)
        {
            var errors = AwaitReady(process);
            string result = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? result : throw new InvalidOperationException($"The process failed: {errors.Result}");
        }
    }

    /// <summary>Waits until a process has begun.</summary>
    /// <returns>What it writes to its error stream, which is read while it runs: a full pipe would stop it.</returns>
    private static Task<string> AwaitReady(Process process)
    {
        var errors = process.StandardError.ReadToEndAsync();
        return process.StandardOutput.ReadLine() == ChildPrograms.Ready ? errors : throw new InvalidOperationException($"The process failed: {errors.Result}");
    }

    private static Process Start(params string[] arguments) => Start(["dotnet"], arguments);

    private static Process Start(string[] command, params string[] arguments)
    {
        var start = new ProcessStartInfo(command[0], [.. command.Skip(1), typeof(KillRun).Assembly.Location, "child", .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        // A save that is killed leaves temporary files of ML.NET.
        if (arguments is ["save", var models, _])
            start.Environment["TMPDIR"] = models;
        return Process.Start(start)!;
    }
}
