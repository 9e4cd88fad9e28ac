namespace RepVgg.Samples.CommandLine;

/// <summary>Writes the help text of <c>--help</c>.</summary>
internal static class HelpText
{
    private const string Program = "dotnet run --project src/RepVgg.Samples --";

    public static void WriteAll(TextWriter writer, IReadOnlyList<CommandSpec> commands)
    {
        writer.WriteLine("RepVGG in ML.NET pipelines: samples.");
        writer.WriteLine();
        writer.WriteLine($"  {Program} [COMMAND] [OPTIONS]");
        writer.WriteLine();
        int width = commands.Max(c => c.Name.Length);
        foreach (var command in commands)
            writer.WriteLine($"  {command.Name.PadRight(width)}  {command.Summary}");
        writer.WriteLine();
        writer.WriteLine($"Without a command, {commands[0].Name} runs. COMMAND --help lists a command's options.");
        writer.WriteLine();
        writer.WriteLine("Ctrl-C stops training at the next batch and keeps the best model so far; other commands end at once, but");
        writer.WriteLine("complete a file that they write. A second Ctrl-C ends at once. Exit codes: 0, 1 for a failure, 2 for a wrong");
        writer.WriteLine("command line, 130 for Ctrl-C, 143 for SIGTERM.");
    }

    public static void Write(TextWriter writer, CommandSpec command)
    {
        writer.WriteLine(command.Summary);
        writer.WriteLine();
        writer.WriteLine($"  {Program} {string.Join(' ', [command.Name, .. command.Operands, .. command.Options.Count > 0 ? ["[OPTIONS]"] : Array.Empty<string>()])}");
        writer.WriteLine();
        if (command.Options.Count == 0)
            return;
        int width = command.Options.Max(o => o.Name.Length + o.Value.Length + 3);
        foreach (var option in command.Options)
            writer.WriteLine($"  {$"--{option.Name} {option.Value}".PadRight(width)}  {option.Help}");
    }
}
