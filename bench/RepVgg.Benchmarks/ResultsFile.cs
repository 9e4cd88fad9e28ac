namespace RepVgg.Benchmarks;

/// <summary>A file of measured tables, one section for each command that writes there.</summary>
internal static class ResultsFile
{
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
