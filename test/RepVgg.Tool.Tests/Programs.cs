using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using RepVgg.Tool.Images;
using Xunit;

namespace RepVgg.Tool.Tests;

/// <summary>Tests that redirect the console, which all tests share.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class ConsoleCollection
{
    public const string Name = "Console";
}

/// <summary>A program that tests run.</summary>
/// <param name="assembly">Its assembly.</param>
internal sealed class Programs(Assembly assembly)
{
    /// <summary>The tool <c>repvgg</c>.</summary>
    public static Programs Tool { get; } = new(typeof(FashionMnist).Assembly);

    /// <summary>The samples.</summary>
    public static Programs Samples { get; } = new(typeof(RepVgg.Samples.Quickstart).Assembly);

    /// <summary>Runs it in this process, and checks that it succeeds; for tests of the collection <see cref="ConsoleCollection"/>.</summary>
    /// <returns>The standard output.</returns>
    public string Succeeds(params string[] arguments)
    {
        var (exitCode, output, error) = RunHere(arguments);
        Assert.True(exitCode == 0, error);
        return output;
    }

    /// <summary>Runs it in this process, and checks that it ends with an exit code and without standard output; for tests of the collection <see cref="ConsoleCollection"/>.</summary>
    /// <returns>The standard error.</returns>
    public string Fails(int code, params string[] arguments)
    {
        var (exitCode, output, error) = RunHere(arguments);
        Assert.Equal((code, ""), (exitCode, output));
        return error;
    }

    /// <summary>Runs it in this process; for tests of the collection <see cref="ConsoleCollection"/>.</summary>
    public (int ExitCode, string Output, string Error) RunHere(params string[] arguments)
    {
        var (output, error) = (Console.Out, Console.Error);
        using var newOutput = new StringWriter();
        using var newError = new StringWriter();
        Console.SetOut(newOutput);
        Console.SetError(newError);
        try
        {
            int exitCode = (int)assembly.EntryPoint!.Invoke(null, [arguments])!;
            return (exitCode, newOutput.ToString(), newError.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }

    /// <summary>Runs it as a user does: a process of its own, with its output redirected.</summary>
    public (int ExitCode, string Output, string Error) Run(params string[] arguments)
    {
        using var process = Start(arguments);
        var error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output, error.Result);
    }

    public Process Start(params string[] arguments) => Start(assembly, arguments);

    /// <summary>Runs the entry point of an assembly as a process of its own.</summary>
    public static Process Start(Assembly program, params string[] arguments)
    {
        return Process.Start(new ProcessStartInfo("dotnet", [program.Location, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
    }
}

/// <summary>A program while it runs.</summary>
internal sealed class ProgramRun : IDisposable
{
    /// <summary>Maximum time that the program gets for anything.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromMinutes(3);

    private readonly Process _process;
    private readonly StringBuilder _output = new(), _error = new();

    public ProgramRun(Process process)
    {
        _process = process;
        process.OutputDataReceived += (_, line) => Add(_output, line.Data);
        process.ErrorDataReceived += (_, line) => Add(_error, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public string Output => Text(_output);

    public string Error => Text(_error);

    public bool HasEnded => _process.HasExited;

    /// <summary>Waits until the program has written a text.</summary>
    public void WaitFor(string text)
    {
        var clock = Stopwatch.StartNew();
        while (!Output.Contains(text, StringComparison.Ordinal))
        {
            Assert.True(clock.Elapsed < Longest, $"The program has not written '{text}': {Output}{Error}");
            if (_process.WaitForExit(2))
            {
                _process.WaitForExit(); // until all output is read
                Assert.True(Output.Contains(text, StringComparison.Ordinal), $"The program ended before it wrote '{text}': {Output}{Error}");
            }
        }
    }

    public void Send(int signal)
    {
        if (!_process.HasExited)
            _ = Kill(_process.Id, signal);
    }

    /// <returns>The exit code.</returns>
    public int End()
    {
        if (!_process.WaitForExit(Longest))
            _process.Kill();
        _process.WaitForExit();
        return _process.ExitCode;
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();
        _process.Dispose();
    }

    private static void Add(StringBuilder text, string? line)
    {
        lock (text)
            text.AppendLine(line);
    }

    private static string Text(StringBuilder text)
    {
        lock (text)
            return text.ToString();
    }

    [DllImport("libc", EntryPoint = "kill")]
    private static extern int Kill(int process, int signal);
}
