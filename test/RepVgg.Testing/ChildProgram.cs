using System.Diagnostics;
using System.Reflection;

namespace RepVgg.Testing;

/// <summary>A test assembly as a program: for what only a fresh process can show.</summary>
/// <param name="assembly">The assembly, whose entry point reads the arguments.</param>
internal sealed class ChildProgram(Assembly assembly)
{
    /// <summary>Starts it.</summary>
    /// <returns>What it wrote.</returns>
    public async Task<string> RunAsync(params string[] arguments)
    {
        var (exitCode, output, errors) = await RunInAsync(AppContext.BaseDirectory, arguments);
        return exitCode == 0 ? output : throw new InvalidOperationException($"Exit code {exitCode}: {errors}");
    }

    /// <summary>Starts it from a folder that holds a copy.</summary>
    /// <returns>How it ended and what it wrote.</returns>
    public Task<(int ExitCode, string Output, string Errors)> RunInAsync(string folder, params string[] arguments) => StartAsync(folder, _ => { }, arguments);

    /// <summary>Starts it without a variable of this process's environment.</summary>
    /// <returns>How it ended and what it wrote.</returns>
    public Task<(int ExitCode, string Output, string Errors)> RunWithoutAsync(string variable, params string[] arguments) => StartAsync(AppContext.BaseDirectory, environment => environment.Remove(variable), arguments);

    /// <summary>Starts it with other variables in its environment.</summary>
    /// <returns>How it ended and what it wrote.</returns>
    public Task<(int ExitCode, string Output, string Errors)> RunWithAsync(Dictionary<string, string> variables, params string[] arguments) => RunInAsync(AppContext.BaseDirectory, variables, arguments);

    /// <summary>Starts it from a folder that holds a copy, with other variables in its environment.</summary>
    /// <returns>How it ended and what it wrote.</returns>
    public Task<(int ExitCode, string Output, string Errors)> RunInAsync(string folder, Dictionary<string, string> variables, params string[] arguments) => StartAsync(
        folder,
        environment =>
        {
            foreach (var (name, value) in variables)
                environment[name] = value;
        },
        arguments);

    private async Task<(int ExitCode, string Output, string Errors)> StartAsync(string folder, Action<IDictionary<string, string?>> change, string[] arguments)
    {
        string program = Path.Combine(folder, Path.GetFileName(assembly.Location));
        var start = new ProcessStartInfo("dotnet", [program, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        change(start.Environment);
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return (process.ExitCode, output, await errors);
    }
}
