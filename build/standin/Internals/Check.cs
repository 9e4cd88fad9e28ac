namespace Microsoft.ML;

/// <summary>Checks of arguments, with the exception types and the words that users of ML.NET know.</summary>
internal static class Check
{
    internal static void NotNull(object value, string parameter)
    {
        if (value is null)
        {
            throw new ArgumentNullException(parameter);
        }
    }

    internal static void NotEmpty(string value, string parameter)
    {
        if (string.IsNullOrEmpty(value))
        {
            throw new ArgumentOutOfRangeException(parameter, $"{parameter} cannot be null or empty");
        }
    }

    internal static void Param(bool condition, string parameter, string message)
    {
        if (!condition)
        {
            throw new ArgumentOutOfRangeException(parameter, message);
        }
    }

    /// <summary>The error for a column that is not there.</summary>
    internal static Exception MissingColumn(string parameter, string role, string column) =>
        new ArgumentOutOfRangeException(parameter, $"Could not find {role} column '{column}'");

    /// <summary>The error for a column of a type that cannot be used.</summary>
    internal static Exception SchemaMismatch(
        string parameter, string role, string column, string expected, string actual) =>
        new ArgumentOutOfRangeException(
            parameter, $"Schema mismatch for {role} column '{column}': expected {expected}, got {actual}");

    /// <summary>The error for a getter of a column that is not active.</summary>
    internal static Exception InactiveColumn(DataViewSchema.Column column) =>
        new ArgumentOutOfRangeException(
            nameof(column), $"Getter for column '{column.Name}' (index {column.Index}) was not requested when the cursor was made: the column is not active.");

    /// <summary>The error for a getter of another type than the column's.</summary>
    internal static Exception WrongGetterType(DataViewSchema.Column column, Type asked) =>
        new InvalidOperationException(
            $"Invalid TValue: '{asked}', expected type: '{column.Type.RawType}' (column '{column.Name}').");
}
