namespace RepVgg.Benchmarks;

/// <summary>A file of measured tables, one section for each command that writes there.</summary>
internal static class ResultsFile
{
    /// <summary>Prints the rows of a table against ONNX Runtime as they are measured, and replaces the section of the table in the file of the option <c>write</c>, if it is given.</summary>
    /// <param name="options">The options of the command.</param>
    /// <param name="heading">The section's heading, without the mark.</param>
    /// <param name="explanation">What stands above the table.</param>
    /// <param name="header">The two first lines of the table.</param>
    /// <param name="rows">The rows, which are measured while they are enumerated.</param>
    public static void Report(CommandLine options, string heading, string explanation, string header, IEnumerable<string> rows)
    {
        var lines = new List<string>(header.Split('\n', StringSplitOptions.TrimEntries));
        lines.ForEach(Console.WriteLine);
        foreach (string row in rows)
        {
            lines.Add(row);
            Console.WriteLine(row);
        }
        Console.WriteLine();
        Console.WriteLine($"{Machine.Description} {OnnxRuntimePeer.Version}. {Machine.Cores}");
        if (options.Text("write") is { } path)
            Replace(path, heading, $"{explanation}\n\n{Machine.Description} {OnnxRuntimePeer.Version}.{Machine.Load} {Machine.Cores}\n\n{string.Join('\n', lines)}");
    }

    /// <summary>Puts a section in the place of the one with the same heading, or at the end.</summary>
    /// <param name="path">The file; it need not exist.</param>
    /// <param name="heading">The section's heading, without the mark.</param>
    /// <param name="text">What stands below it.</param>
    public static void Replace(string path, string heading, string text)
    {
        string[] sections = File.Exists(path) ? $"\n{File.ReadAllText(path)}".Split("\n# ", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) : [];
        string section = $"{heading}\n\n{text.ReplaceLineEndings("\n").Trim()}";
        int place = Array.FindIndex(sections, other => other.Split('\n')[0].Trim() == heading);
        if (place < 0)
            sections = [.. sections, section];
        else
            sections[place] = section;
        File.WriteAllText(path, string.Join("\n\n", sections.Select(part => $"# {part}")) + "\n");
    }
}
