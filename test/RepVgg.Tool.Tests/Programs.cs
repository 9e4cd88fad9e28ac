using System.Diagnostics;
using System.Reflection;
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
    public static Programs Samples { get; } = new(typeof(Samples.Workflow.Classification).Assembly);

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
