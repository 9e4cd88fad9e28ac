extern alias tool;

using System.Collections.Immutable;
using Microsoft.ML;
using Microsoft.ML.RepVgg;
using Microsoft.ML.RepVgg.Tests.Trainer;
using RepVgg.Architectures;
using RepVgg.Networks;
using RepVgg.Reliability.Tests.Kills;
using RepVgg.Tool.Weights;
using RepVgg.Testing;
using RepVgg.Training.Data;
using RepVgg.Weights;
using RepVgg.Weights.Checkpoint;
using DataPacker = tool::RepVgg.Tool.Images.DataPacker;

namespace RepVgg.Reliability.Tests.Faults;

/// <summary>Lets every write of every writer fail in turn. After each failure, the old file must be there as it was, and nothing else, and the error must name the file.</summary>
/// <remarks>It runs in a process of its own, because it limits the size of all files of the process.</remarks>
internal static class FaultRun
{
    private const int MaximumFaults = 60;

    /// <summary>Runs all.</summary>
    /// <returns>What was wrong.</returns>
    public static IReadOnlyList<string> Run(Action<string> log)
    {
        var wrong = new List<string>();
        SystemFaults.Load();
        foreach (var (name, write) in Writers())
        {
            int faults = 0;
            using var folder = new TemporaryFolder();
            string path = folder.File(name);
            write(path, 0);
            byte[] old = File.ReadAllBytes(path);
            foreach (var call in Enum.GetValues<SystemCall>())
            {
                SystemFaults.Fail(folder.Path, call, 0);
                write(path, 1);
                long count = SystemFaults.Count(call);
                if (count == 0)
                    wrong.Add($"{name}: there is no system call '{call}' to fail");
                write(path, 0);
                // Some formats contain the time.
                old = File.ReadAllBytes(path);
                long step = Math.Max(1, count / MaximumFaults);
                for (long number = 1; number <= count; number += step)
                {
                    SystemFaults.Fail(folder.Path, call, number);
                    Check($"{name}, {call} {number} of {count} fails", path);
                }
                SystemFaults.Fail(folder.Path, call, 0);
            }
            SystemFaults.Interrupt(folder.Path, SystemCall.Flush, 1);
            if (Record(() => write(path, 0)) is { } error)
                wrong.Add($"{name}, a signal comes while the file is flushed: {error}");
            if (SystemFaults.Count(SystemCall.Flush) != 2)
                wrong.Add($"{name}, a signal comes while the file is flushed: it is not flushed again");
            SystemFaults.Fail(folder.Path, SystemCall.Flush, 0);
            write(path, 1);
            long length = new FileInfo(path).Length;
            write(path, 0);
            old = File.ReadAllBytes(path);
            // The temporary file may not be longer than this.
            for (long size = 0; size < length; size += Math.Max(1, length / MaximumFaults))
            {
                SystemFaults.LimitFiles(size);
                Check($"{name}, no space after {size} of {length} bytes", path);
            }
            SystemFaults.LimitFiles(-1);
            write(path, 1);
            if (File.ReadAllBytes(path).AsSpan().SequenceEqual(old))
                wrong.Add($"{name}: the new file is the old one");
            log($"{name}: {faults} faults");

            void Check(string fault, string path)
            {
                faults++;
                Exception? error = Record(() => write(path, 1));
                SystemFaults.LimitFiles(-1);
                if (error is not IOException || !error.Message.Contains(path, StringComparison.Ordinal))
                    wrong.Add($"{fault}: {error?.ToString() ?? "there is no error"}");
                string[] files = Directory.GetFileSystemEntries(folder.Path);
                if (files is not [var only] || only != path || !File.ReadAllBytes(path).AsSpan().SequenceEqual(old))
                    wrong.Add($"{fault}: the folder contains {string.Join(", ", files.Select(Path.GetFileName))}");
            }
        }
        CheckSpill(wrong, log);
        return wrong;
    }

    /// <summary>The temporary file of samples, which has no old content.</summary>
    private static void CheckSpill(List<string> wrong, Action<string> log)
    {
        const int Images = 8, Size = 16;
        using var folder = new TemporaryFolder();
        int faults = 0;
        for (int failing = 1; failing <= Images; failing++)
        {
            SystemFaults.Fail(folder.Path, SystemCall.Write, failing);
            Check($"write {failing} of {Images} fails", failing);
            SystemFaults.Fail(folder.Path, SystemCall.Write, 0);
            SystemFaults.LimitFiles(failing * Size * Size - 1);
            Check($"no space for image {failing}", failing);
            SystemFaults.LimitFiles(-1);
        }
        SystemFaults.Fail(folder.Path, SystemCall.Create, 1);
        Check("the file cannot be created", 1);
        SystemFaults.Fail(folder.Path, SystemCall.Create, 0);
        log($"temporary file of samples: {faults} faults");

        void Check(string fault, int failing)
        {
            faults++;
            int added = 0;
            using (var cache = new SampleCache(1, Size, Size, 2, memoryLimit: 0, folder.Path))
            {
                var error = Record(() =>
                {
                    for (; added < Images; added++)
                        cache.Add(Enumerable.Repeat((byte)added, Size * Size).ToArray(), 0);
                });
                if (error is not IOException || !error.Message.Contains(folder.Path, StringComparison.Ordinal) || added != failing - 1)
                    wrong.Add($"samples, {fault}: {added} images were added, then {error?.ToString() ?? "there is no error"}");
                var pixels = new float[Size * Size];
                for (int i = 0; i < added; i++)
                {
                    cache.Read(i, pixels);
                    if (cache.Count != added || pixels.Any(pixel => pixel != i))
                        wrong.Add($"samples, {fault}: image {i} is lost");
                }
            }
            if (Directory.GetFileSystemEntries(folder.Path).Length > 0)
                wrong.Add($"samples, {fault}: a file remains");
        }
    }

    private static Exception? Record(Action action)
    {
        try
        {
            action();
            return null;
        }
        catch (Exception error)
        {
            return error;
        }
    }

    /// <summary>The name of a file and what writes it with one of two contents.</summary>
    private static IEnumerable<(string Name, Action<string, int> Write)> Writers()
    {
        foreach (var (name, write) in ChildPrograms.WeightsWriters)
            yield return (name, (path, number) => write(ChildPrograms.Network(number), path));
        yield return ("run.checkpoint", (path, number) => CheckpointFile.Write(path, $"{{\"number\":{number}}}", ChildPrograms.Network(number).ExportState()));
        yield return ("array.npy", (path, number) => NumpyFile.Write(path, new TensorData([100, 100], [.. Enumerable.Repeat((float)number, 10_000)])));
        yield return ("data.zip", (path, number) => DataPacker.Write(path, SyntheticTask.Samples(80, number), 80, SyntheticTask.Samples(40, number), 40));
        var context = new MLContext(seed: 1);
        var rows = context.Data.LoadFromEnumerable(Stripes.Rows(30, seed: 1));
        ITransformer[] models = [.. Enumerable.Range(0, 2).Select(i =>
        {
            var options = Stripes.Options(epochs: 1);
            options.Seed = i;
            return Stripes.Pipeline(context, options).Fit(rows);
        })];
        yield return ("model.zip", (path, number) => context.Model.SaveRepVgg(models[number], rows.Schema, path));
        string[] weights = [.. Enumerable.Range(0, 2).Select(i => Path.Combine(Path.GetTempPath(), $"network-{i}.onnx"))];
        for (int i = 0; i < 2; i++)
            ChildPrograms.WeightsWriters["weights.onnx"](ChildPrograms.Network(i), weights[i]);
        yield return ("converted.pth", (path, number) => Sample("convert", weights[number], path));
    }

    /// <summary>Runs the sample program, and makes an exception of its error message.</summary>
    private static void Sample(params string[] arguments)
    {
        var (output, error) = (Console.Out, Console.Error);
        using var message = new StringWriter();
        Console.SetOut(TextWriter.Null);
        Console.SetError(message);
        try
        {
            if ((int)typeof(DataPacker).Assembly.EntryPoint!.Invoke(null, [arguments])! != 0)
                throw new IOException(message.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }
}
